"""MessagePack for `independent_merge.py`, written from the page on encoding and nothing else.

It does not check what it reads.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ext:
    """A value of an ext type, as it came."""

    code: int
    data: bytes


def write(value: Any) -> bytes:
    """Canonical bytes."""
    if value is None or value is True or value is False:
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return b"\xcb" + (
            struct.pack(">d", value) if value == value else bytes.fromhex("7ff8" + 12 * "0")
        )
    if isinstance(value, str):
        data = value.encode()
        return _header(len(data), (0xA0, 32), 0xD9, 0xDA, 0xDB) + data
    if isinstance(value, bytes):
        return _header(len(value), (0, 0), 0xC4, 0xC5, 0xC6) + value
    if isinstance(value, list):
        items = b"".join(map(write, value))
        return _header(len(value), (0x90, 16), None, 0xDC, 0xDD) + items
    if isinstance(value, dict):
        pairs = b"".join(write(key) + write(value[key]) for key in sorted(value, key=ordered))
        return _header(len(value), (0x80, 16), None, 0xDE, 0xDF) + pairs
    fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}.get(len(value.data))
    head = bytes([fixed]) if fixed else _header(len(value.data), (0, 0), 0xC7, 0xC8, 0xC9)
    return head + bytes([value.code]) + value.data


def ordered(key: Any) -> Any:
    """What keys of maps ascend by."""
    return key.encode() if isinstance(key, str) else key


def _integer(number: int) -> bytes:
    if -32 <= number < 128:
        return struct.pack("b" if number < 0 else "B", number)
    signs = [(0xD0, "b"), (0xD1, "h"), (0xD2, "i"), (0xD3, "q")]
    plain = [(0xCC, "B"), (0xCD, "H"), (0xCE, "I"), (0xCF, "Q")]
    for code, form in signs if number < 0 else plain:
        bits = 8 * struct.calcsize(f">{form}")
        if number < 1 << bits if number >= 0 else number >= -(1 << (bits - 1)):
            return struct.pack(f">B{form}", code, number)
    raise AssertionError(f"{number} has more than 64 bits")


def _header(count: int, fixed: tuple[int, int], *codes: int | None) -> bytes:
    if count < fixed[1]:
        return bytes([fixed[0] + count])
    for code, form in zip(codes, "BHI", strict=True):
        if code is not None and count < 1 << 8 * struct.calcsize(f">{form}"):
            return struct.pack(f">B{form}", code, count)
    raise AssertionError(f"{count} is too many")


def read(data: bytes) -> Any:
    """The value whose canonical bytes these are."""
    value, rest = _read(data)
    assert rest == b"", "bytes after the end"
    return value


def _read(data: bytes) -> tuple[Any, bytes]:
    code, rest = data[0], data[1:]
    if code < 0x80 or code >= 0xE0:
        return (code if code < 0x80 else code - 256), rest
    if code < 0xC0:
        if code >= 0xA0:
            return rest[: code - 0xA0].decode(), rest[code - 0xA0 :]
        return _many(code - 0x90, rest) if code >= 0x90 else _map(code - 0x80, rest)
    if code in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[code], rest
    form = {0xCB: "d", **dict(zip(range(0xCC, 0xD4), "BHIQbhiq", strict=True))}.get(code)
    if form:
        size = struct.calcsize(f">{form}")
        return struct.unpack(f">{form}", rest[:size])[0], rest[size:]
    if 0xD4 <= code <= 0xD8:
        return _ext(1 << (code - 0xD4), rest)
    kinds: list[tuple[int, str, Callable[[int, bytes], tuple[Any, bytes]]]] = [
        (0xC4, "BHI", lambda size, rest: (rest[:size], rest[size:])),
        (0xC7, "BHI", _ext),
        (0xD9, "BHI", lambda size, rest: (rest[:size].decode(), rest[size:])),
        (0xDC, "HI", _many),
        (0xDE, "HI", _map),
    ]
    for first, forms, take in kinds:
        if first <= code < first + len(forms):
            size = struct.calcsize(f">{forms[code - first]}")
            return take(int.from_bytes(rest[:size], "big"), rest[size:])
    raise AssertionError(f"no code {code:02x}")


def _ext(size: int, data: bytes) -> tuple[Ext, bytes]:
    return Ext(data[0], data[1 : 1 + size]), data[1 + size :]


def _many(count: int, data: bytes) -> tuple[list[Any], bytes]:
    items = []
    for _ in range(count):
        item, data = _read(data)
        items.append(item)
    return items, data


def _map(count: int, data: bytes) -> tuple[dict[Any, Any], bytes]:
    items, data = _many(2 * count, data)
    return dict(zip(items[::2], items[1::2], strict=True)), data
