"""The API key that commands show at the door: from a file, or from the environment; never from the command line."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import click

from .setup import WRONG, fail

VARIABLE = "TRANSQUEUE_API_KEY"

key_file = click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"A file with the API key; else the environment variable {VARIABLE}.",
)


def api_key(file: Path | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """The key to show, if there is one. A file that others may read ends the command: what it holds is not secret."""
    if file is None:
        text = environ.get(VARIABLE, "").strip()
    else:
        if file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            fail(f"{file} can be read by others: run `chmod 600` on it, and make a new key.", WRONG)
        text = file.read_text(encoding="utf-8", errors="replace").strip()
    if text and not (text.isascii() and text.isprintable() and " " not in text):
        fail(f"The API key in {file or VARIABLE} is none: it must be one word, tq_<id>_<secret>.", WRONG)
    return text or None


def authorization(key: str | None) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {key}"} if key else {}
