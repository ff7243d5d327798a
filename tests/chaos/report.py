"""A run's report, for people as a table and for scripts as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from chaos_run import Report
from rich.console import Console
from rich.table import Table

VERDICTS = {0: "everything holds", 1: "VIOLATED", 2: "invalid: a window was missed"}
SHOWN = 5
QUIET = {"transaction.accepted", "transactions.completed"}


def print_report(report: Report, console: Console) -> None:
    """Tables, and the verdict at the end."""
    told = report.options
    console.print(
        f"{told.seconds:g} s, {told.nodes} {'node' if told.nodes == 1 else 'nodes'}, seed {told.seed}, "
        f"{told.clients} clients, {'with' if told.alarm else 'without'} alarms"
        f"{told.mutant and f', mutant {told.mutant}'}; drained after {report.drained_after:.1f} s"
    )
    _counts(console, "faults injected", report.faults)
    _rows(console, ("window hit", "kills", "pauses"), [(name, *hits) for name, hits in report.windows.items()])
    _rows(
        console,
        ("recovery", "times", "p50 s", "max s"),
        [(one.what, len(one.seconds), f"{one.p50:.2f}", f"{one.longest:.2f}") for one in report.recoveries],
    )
    _counts(console, "transactions", report.states)
    _counts(console, "answers", report.answers)
    _counts(console, "given more attempts by the operator", report.retried)
    _counts(console, "events", {name: n for name, n in report.events.items() if name not in QUIET})
    _rows(
        console,
        ("check", "looked at", "wrong"),
        [(finding.check, finding.looked_at, len(finding.wrong)) for finding in report.findings],
    )
    for line in report.remarks:
        console.print(f"remark: {line}", markup=False, soft_wrap=True)
    _verdict(report, console)


def as_json(report: Report) -> dict[str, Any]:
    """Everything, and what is wrong in full."""
    return {
        "exit_code": report.exit_code,
        "verdict": VERDICTS[report.exit_code],
        **{field.name: getattr(report, field.name) for field in fields(report)},
        "options": asdict(report.options),
        "findings": [asdict(finding) for finding in report.findings],
        "recoveries": [
            {"what": one.what, "times": len(one.seconds), "p50": one.p50, "max": one.longest}
            for one in report.recoveries
        ],
    }


def _verdict(report: Report, console: Console) -> None:
    for finding in report.findings:
        for line in finding.wrong[:SHOWN]:
            console.print(f"wrong: {finding.check}: {line}", markup=False, soft_wrap=True)
        if len(finding.wrong) > SHOWN:
            console.print(f"wrong: {finding.check}: and {len(finding.wrong) - SHOWN} more", markup=False)
    if report.missed:
        console.print(f"missed: {', '.join(report.missed)}")
    console.print(f"verdict: {VERDICTS[report.exit_code]}", style="green" if report.exit_code == 0 else "red")


def _counts(console: Console, title: str, counts: Mapping[str, int]) -> None:
    if counts:
        _rows(console, (title, "times"), sorted(counts.items()))


def _rows(console: Console, titles: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    table = Table(titles[0], title_justify="left")
    for title in titles[1:]:
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(*map(str, row))
    console.print(table)
