"""Rows as a table on the terminal, as Markdown in docs/performance.md, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .measure import Row, spread, told

COLUMNS = ("what", "median", "range", "ratio", "its range", "target", "", "beside it")
COLOURS = {"met": "green", "missed": "red"}


def show(rows: Sequence[Row], console: Console) -> None:
    """Print one table for each part."""
    for part, members in groupby(rows, key=lambda row: row.part):
        table = Table(*COLUMNS, title=part, title_justify="left")
        for row in members:
            table.add_row(*_cells(row), style=COLOURS.get(row.verdict, ""))
        console.print(table)


def write(rows: Sequence[Row], facts: Mapping[str, str], file: Path) -> None:
    """Put the tables of the measured parts into the file; all that stands outside of them is kept."""
    text = file.read_text()
    for part, members in groupby(rows, key=lambda row: row.part):
        text = _between(text, part, _markdown(list(members)))
    told_facts = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    file.write_text(_between(text, "facts", f"| | |\n| --- | --- |\n{told_facts}"))


def as_json(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """Everything, samples included."""
    measured = [{**asdict(row), **_judged(row)} for row in rows]
    return json.dumps({"facts": facts, "rows": measured}, indent=1, ensure_ascii=False)


def _judged(row: Row) -> dict[str, Any]:
    return {"reached": row.reached, "verdict": row.verdict, "ratios": row.ratios}


def _between(text: str, name: str, table: str) -> str:
    begin, end = f"<!-- measured: {name} -->", f"<!-- end: {name} -->"
    before, found, rest = text.partition(begin)
    if not found:
        return f"{text.rstrip()}\n\n## {name}\n\n{begin}\n\n{table}\n\n{end}\n"
    return f"{before}{begin}\n\n{table}\n\n{end}{rest.partition(end)[2]}"


def _markdown(rows: Sequence[Row]) -> str:
    lines = [COLUMNS, tuple("---" if number in (0, 6, 7) else "---:" for number in range(len(COLUMNS)))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (*lines, *map(_cells, rows)))


def _cells(row: Row) -> tuple[str, ...]:
    if not row.samples:
        return (row.what, "not measured", "", "", "", str(row.target or ""), "", row.note)
    ratios = row.ratios
    ratio = told(row.reached or 0) if row.reference else ""
    beside = [f"{name} {told(value)}" for name, value in row.facts().items()]
    against = [f"against: {row.reference}"] if row.reference else []
    return (
        row.what,
        f"{told(row.value)} {row.unit}",
        spread(tuple(sample.value for sample in row.samples)),
        ratio,
        spread(ratios) if ratios else "",
        str(row.target or ""),
        row.verdict,
        "; ".join([*against, *beside, *([row.note] if row.note else [])]),
    )
