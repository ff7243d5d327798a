"""From a file to a `Config`: read, expanded and judged once; all mistakes come together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigInvalid, Problem
from .environment import expand
from .fields import OfKey
from .positions import Positions
from .schema import judge
from .secrets import secrets_of
from .source import Source, read_source
from .values import Config

VARIABLE = "TRANSQUEUE_CONFIG"
FILE = "config.yaml"

_PASSWORD_WRITTEN = re.compile(r"://[^:@/]*:(?!\$\{)[^@/?]+@")


def find_config(explicit: str | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """Which file is meant: the one asked for, else TRANSQUEUE_CONFIG's, else `config.yaml` in `cwd`.

    The file need not exist; relative names start from `cwd`.
    """
    return cwd / (explicit or environ.get(VARIABLE) or FILE)


def read_config(file: Path | None, environ: Mapping[str, str]) -> Config:
    """The checked and frozen configuration of `file`; without one, the defaults, from the present folder.

    Raises:
        ConfigInvalid: with every mistake in it.
    """
    if file is None:
        return _config(None, Path.cwd(), {})
    from .document import read_document  # noqa: PLC0415  (slow, and few processes read a file)

    source = read_source(file)
    document = read_document(source.text)
    fields, problems = _judged(document.values, document.positions, environ)
    if problems := [*document.problems, *_exposed(document.values, document.positions, source), *problems]:
        raise ConfigInvalid(str(file), problems)
    whole = file.absolute()
    secrets = secrets_of(document.values, environ, fields["mongodb"].uri if "mongodb" in fields else "")
    return _config(whole, whole.parent, fields | {"positions": document.positions, "secrets": secrets})


def made_config(values: Mapping[str, Any], root: Path) -> Config:
    """The checked and frozen configuration of values that stand in no file; relative paths start from `root`.

    Raises:
        ConfigInvalid: with every mistake in them.
    """
    fields, wrong = judge(values)
    if wrong:
        raise ConfigInvalid("config", [Problem(0, 0, path, str(message)) for path, message in wrong])
    return _config(None, root.absolute(), fields)


def _judged(
    written: Mapping[str, Any], positions: Positions, environ: Mapping[str, str]
) -> tuple[dict[str, Any], list[Problem]]:
    found: list[tuple[str, str]] = []
    values = expand(written, environ, lambda path, message: found.append((path, message)))
    fields, wrong = judge(values)
    place = positions.problem
    return fields, [place(path, str(said), of_key=isinstance(said, OfKey)) for path, said in found + wrong]


def _exposed(written: Mapping[str, Any], positions: Positions, source: Source) -> list[Problem]:
    mongodb = written.get("mongodb")
    uri = mongodb.get("uri") if isinstance(mongodb, dict) else None
    if not (source.open_to_all and isinstance(uri, str) and _PASSWORD_WRITTEN.search(uri)):
        return []
    said = "holds a password in a file that every account may read: write ${NAME} for it, or `chmod o-r` the file"
    return [positions.problem("mongodb.uri", said)]


def _config(file: Path | None, root: Path, fields: Mapping[str, Any]) -> Config:
    data_dir = root / fields.get("data_dir", Config().data_dir)
    return Config(**{**fields, "file": file, "root": root, "data_dir": data_dir})
