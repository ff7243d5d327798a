"""What commands print: columns that a script can cut, times that people can read, nothing that upsets a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import click

GAP = "  "


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], colours: Mapping[str, str] | None = None
) -> None:
    """Print columns as wide as they need to be, never cut or wrapped; `colours` paints cells by their text."""
    lines = [[plain(cell).replace("\n", " ") for cell in row] for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        padded[-1] = line[-1]
        painted = [_painted(cell, number == 0, (colours or {}).get(cell.strip())) for cell in padded]
        click.echo(GAP.join(painted).rstrip())


def told_time(moment: datetime) -> str:
    """A time for people, to the millisecond, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} UTC"


def told_seconds(seconds: float) -> str:
    """A span of time for people."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def plain(text: str) -> str:
    """The text without control characters, which a terminal would obey; lines and tabs stay."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _painted(cell: str, header: bool, colour: str | None) -> str:
    return click.style(cell, bold=True) if header else click.style(cell, fg=colour) if colour else cell
