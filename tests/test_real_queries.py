"""Realistic queries on real data: Python = SQL = index = meaning. `real_queries` compares all."""

from __future__ import annotations

from command_line import data_file
from real_queries import books, compare, window, zips


def test_zip_codes() -> None:
    data = zips(data_file("zips.bson"), step=40)
    assert compare(data, 200)
    window(data, "pop")


def test_books() -> None:
    data = books(data_file("books.csv"), step=15)
    assert compare(data, 200)
    window(data, "year")
