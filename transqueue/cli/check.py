"""`init` writes a configuration; `check` judges one, the plugins' part included."""

from __future__ import annotations

import json
import sys
from contextlib import suppress

import click

from ..config.default import DEFAULT_CONFIG
from ..errors import ConfigInvalid, Problem, TransQueueError
from ..plugins.judge import judge_plugins
from ..plugins.probe import Probe
from .setup import WRONG, Setup, fail


@click.command()
@click.pass_obj
def init(setup: Setup) -> None:
    """Write a commented config.yaml; never over an existing file."""
    try:
        with setup.path.open("x", encoding="utf-8") as file:
            file.write(DEFAULT_CONFIG)
    except FileExistsError:
        fail(f"{setup.path} is there already; it was left as it is.", WRONG)
    except OSError as error:
        fail(f"{setup.path} cannot be written: {error.strerror}", WRONG)
    click.echo(f"Wrote {setup.path}. Next: transqueue up")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def check(setup: Setup, *, as_json: bool) -> None:
    """Judge config.yaml and the enabled plugins: every mistake at once, with its line and column."""
    problems = _problems(setup)
    if as_json:
        click.echo(json.dumps({"file": str(setup.path), "problems": [_told(problem) for problem in problems]}))
    else:
        for problem in problems:
            click.echo(f"{setup.path}:{problem}", err=True)
        if not problems:
            click.echo(f"{setup.path}: well")
    sys.exit(WRONG if problems else 0)


def _problems(setup: Setup) -> list[Problem]:
    try:
        with Probe(setup.config) as probe:
            with suppress(TransQueueError):  # told below, with its place
                probe.states()
            return judge_plugins(probe.config)
    except ConfigInvalid as error:
        return list(error.problems)


def _told(problem: Problem) -> dict[str, object]:
    return {"line": problem.line, "column": problem.column, "path": problem.path, "message": problem.message}
