"""What commands print: nothing is cut or wrapped, and no text can command a terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from transqueue.cli.screen import plain, print_table, told_seconds, told_time


def test_columns_are_as_wide_as_they_need_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "state"), [("1" * 21, "done"), ("2", "x" * 500)], {"done": "green"})
    assert capsys.readouterr().out.splitlines() == [
        f"{'id':<21}  state",
        f"{'1' * 21}  done",
        f"{'2':<21}  {'x' * 500}",
    ]


def test_a_table_without_rows_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "state"), [])
    assert capsys.readouterr().out == "id  state\n"


def test_a_cell_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("error",), [("first\nsecond",)])
    assert capsys.readouterr().out == "error\nfirst second\n"


def test_control_characters_are_replaced() -> None:
    assert plain("a\x1b[31mb\r\x07\u202e") == "a\ufffd[31mb\ufffd\ufffd\ufffd"
    assert plain("line\n\tZoë 値") == "line\n\tZoë 値"


def test_times_are_told_in_utc_to_the_millisecond() -> None:
    moment = datetime(2026, 1, 2, 4, 4, 5, 7000, timezone(timedelta(hours=1)))
    assert told_time(moment) == told_time(moment.astimezone(UTC)) == "2026-01-02 03:04:05.007 UTC"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.04, "0.0 s"), (119.9, "119.9 s"), (120, "2 minutes"), (7200, "2 hours"), (200_000, "2 days")],
)
def test_spans_are_told_in_the_unit_that_fits(seconds: float, told: str) -> None:
    assert told_seconds(seconds) == told
