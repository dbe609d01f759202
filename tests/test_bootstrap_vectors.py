"""The vectors of bootstraps, run: as they stand, and stopped after any step of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bootstrap_vectors import coming_back, differences, does, led, looks
from client_files import check as check_file
from make_vectors import VECTORS
from worlds import World

LOADED = json.loads((VECTORS / "bootstrap.json").read_text(encoding="utf-8"))["vectors"]


def of(kind: str) -> pytest.MarkDecorator:
    found = [each for each in LOADED if each["name"].split("/")[0] == kind]
    assert found
    return pytest.mark.parametrize("vector", found, ids=[each["name"] for each in found])


@of("client")
def test_a_client_is_led_through_it(vector: dict[str, Any]) -> None:
    """BOOT-1 BOOT-2 BOOT-5 BOOT-6 DOWN-4 DOWN-5 SUB-2 SUB-3 SUB-8"""
    device = World(1).devices[0]
    for step in vector["steps"]:
        does(device, step["do"])
        seen = looks(device)
        assert seen == {name: step[name] for name in seen}, step["do"][0]
        device.outbox.clear()
    check_file(device.db)


@of("client")
def test_a_client_stops_after_any_step(vector: dict[str, Any]) -> None:
    """BOOT-3 BOOT-5 DOWN-4: killed, it shows the same, and says where it was."""
    for at, step in enumerate(vector["steps"], start=1):
        device = led(vector["steps"][:at])
        assert coming_back(device) == step["resumes"]
        check_file(device.db)
        shown = {"shows": step["shows"], "active": step["active"], "progress": step["progress"]}
        assert looks(device) == {**looks(device), **shown}


@of("server")
@pytest.mark.parametrize("size", [1, 300, 10**6])
def test_a_server_sends_the_difference(vector: dict[str, Any], size: int) -> None:
    """BOOT-1 BOOT-2 BOOT-4"""
    books, meanwhile = dict(vector["books"]), dict(vector["meanwhile"])
    sent = differences(books, vector["before"], vector["after"], meanwhile, size)
    assert sent == {"sent": vector["sent"], "evicts": vector["evicts"]}
