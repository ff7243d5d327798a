"""`${NAME}` in the texts of config.yaml takes the environment variable NAME; `$${` writes `${` itself.

What a variable holds is taken as it is, never expanded again, and never shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Report = Callable[[str, str], None]

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPED = "$${"


class FromEnvironment(str):
    """A text that is one variable and nothing else: where a number is wanted it is read as one."""

    __slots__ = ()


def expand(value: Any, environ: Mapping[str, str], report: Report, path: str = "") -> Any:
    """A copy of `value` with every text expanded; a key whose text cannot be is reported and left out."""
    match value:
        case dict():
            expanded = {key: expand(inner, environ, report, _below(path, key)) for key, inner in value.items()}
            return {key: inner for key, inner in expanded.items() if inner is not None or value[key] is None}
        case list():
            return [expand(inner, environ, report, _below(path, str(at))) for at, inner in enumerate(value)]
        case str():
            return _text(value, environ, report, path)
        case _:
            return value


def _text(text: str, environ: Mapping[str, str], report: Report, path: str) -> str | None:
    parts = list(_REFERENCE.finditer(text))
    problems = [problem for part in parts if (problem := _mistake(part, environ))]
    for problem in problems:
        report(path, problem)
    if problems:
        return None
    expanded = _REFERENCE.sub(lambda part: "${" if part[0] == _ESCAPED else environ[part[1]], text)
    whole = len(parts) == 1 and parts[0][0] == text != _ESCAPED
    return FromEnvironment(expanded) if whole else expanded


def _mistake(part: re.Match[str], environ: Mapping[str, str]) -> str | None:
    if part[0] == _ESCAPED:
        return None
    if not part[2] or not _NAME.fullmatch(part[1]):
        return "`${` must be followed by the name of an environment variable and `}`; for the text itself write `$${`"
    if part[1] not in environ:
        return f"the environment variable {part[1]} is not set; for the text itself write `$${{{part[1]}}}`"
    if not _is_text(environ[part[1]]):
        return f"the environment variable {part[1]} is not UTF-8"
    return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
