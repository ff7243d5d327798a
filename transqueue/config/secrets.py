"""What in a configuration must not be shown: the password of the database, and what plugins get from the environment.

Whatever is logged or told of a plugin's trouble goes through `masked`, because an exception's words may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

MASK = "***"
SHORTEST = 6  # a shorter one would mask half of what is said

_PASSWORD = re.compile(r"://[^:@/]*:([^@]*)@")
_REFERENCE = re.compile(r"(?<!\$)\$\{([^}]*)\}")


def secrets_of(written: Mapping[str, Any], environ: Mapping[str, str], uri: str) -> frozenset[str]:
    """The secrets of a configuration, by its values as they were written, and the database's URI as it is."""
    plugins = written.get("plugins")
    sections = plugins.values() if isinstance(plugins, Mapping) else ()
    texts = [text for section in sections if isinstance(section, Mapping) for text in _texts(section.get("config"))]
    found = {environ.get(name, "") for text in texts for name in _REFERENCE.findall(text)}
    for password in _PASSWORD.findall(uri):
        found |= {password, unquote(password)}
    return frozenset(secret for secret in found if len(secret) >= SHORTEST)


def masked(text: str, secrets: Collection[str]) -> str:
    """The text without the secrets, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for inner in value.values():
                yield from _texts(inner)
        case list() | tuple():
            for inner in value:
                yield from _texts(inner)
