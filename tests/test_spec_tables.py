"""What the spec's tables say is what the code does."""

from __future__ import annotations

import re

import pytest
from spec_tables import SPEC, TABLES, replaced

from replication.protocol.messages import FIELDS


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_the_codes_own(table: str) -> None:
    page, make = TABLES[table]
    text = (SPEC / page).read_text()
    assert replaced(text, table, make()) == text, "run `python tests/spec_tables.py`"


def test_every_field_is_explained_once() -> None:
    text = (SPEC / "messages.md").read_text()
    section = text.split("## Fields")[1].split("## Bodies")[0]
    rows = re.findall(r"^\| (\w+) \| ", section, re.MULTILINE)
    assert sorted(rows) == sorted([*FIELDS, "field"])
