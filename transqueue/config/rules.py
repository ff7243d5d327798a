"""What single values of config.yaml must keep to: each rule says what is wrong, or nothing when all is well."""

from __future__ import annotations

import ipaddress
import keyword
import re
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import parse_qsl

from .nearest import did_you_mean

_TYPE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_TYPE_LENGTH = 128
_PLUGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_NOT_IN_DATABASE_NAMES = frozenset('/\\. "$*<>:|?')
_DAY = 86_400
_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
_DOTTED = re.compile(r"[0-9.]+")

NO_HOST = "must be an IP address without a port, such as 127.0.0.1 or ::1, or the name of one"


def mongodb_uri(value: str) -> str | None:
    """Empty, or a MongoDB URI that does not weaken the write concern (DESIGN 3.9)."""
    if not value:
        return None
    if not value.startswith(("mongodb://", "mongodb+srv://")):
        return "must begin with mongodb:// or mongodb+srv://, or be empty for a private mongod"
    options = {name.lower(): said.lower() for name, said in parse_qsl(value.partition("?")[2])}
    if options.get("w", "majority") != "majority" or "false" in (options.get("journal"), options.get("j")):
        return "must not weaken the write concern: remove w= and journal= from it"
    return None


def database(value: str) -> str | None:
    """A name that MongoDB takes, of a database that is not its own."""
    if not value or len(value.encode()) > 63 or not _NOT_IN_DATABASE_NAMES.isdisjoint(value):
        return 'must be a name of 1 to 63 bytes without spaces and / \\ . " $ * < > : | ?'
    if value in ("admin", "config", "local"):
        return "must not be one of MongoDB's own databases"
    return None


def data_dir(value: str) -> str | None:
    """A path; not one that a shell would have to expand."""
    if not value:
        return "must name a folder"
    return "must not begin with ~: write ${HOME}" if value.startswith("~") else None


def host(value: str) -> str | None:
    """An address to listen on, or the name of one. For one that others can reach the start asks for API keys."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return None if _HOST.fullmatch(value) and not _DOTTED.fullmatch(value) else NO_HOST
    return None


def transaction_type(value: str) -> str | None:
    """One transaction type."""
    if len(value) <= _TYPE_LENGTH and _TYPE.fullmatch(value):
        return None
    return "must be a transaction type: letters, digits, '_' and '-', in parts joined by dots, at most 128"


def type_or_family(value: str) -> str | None:
    """A type, or a family of types that ends in `.*`."""
    problem = transaction_type(value.removesuffix(".*")) or (len(value) > _TYPE_LENGTH and "must be shorter")
    return f"{problem}; it may end in '.*'" if problem else None


def plugin_name(value: str) -> str | None:
    """A name that an entry point may have here."""
    return None if _PLUGIN.fullmatch(value) else "must be a plugin's name: letters, digits, '_', '-' and '.'"


def module(value: str) -> str | None:
    """Empty, or the dotted name of a module."""
    if not value or all(part.isidentifier() and not keyword.iskeyword(part) for part in value.split(".")):
        return None
    return "must be a module as Python imports it, such as acme.nightly, or empty for none"


def one_of(*words: str) -> Callable[[str], str | None]:
    """The rule that a text is one of `words`."""
    said = " or ".join(repr(word) for word in words)
    return lambda value: None if value in words else f"must be {said}{did_you_mean(value, words)}"


def backoff(value: tuple[Any, ...]) -> str | None:
    """The first and the longest wait between attempts."""
    numbers = len(value) == 2 and all(type(part) in (int, float) for part in value)
    if numbers and 0 < value[0] <= value[1] <= _DAY:
        return None
    return f"must be [first, longest] in seconds, 0 < first <= longest <= {_DAY}"


def floats(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """The same numbers as handlers keep them."""
    return tuple(float(number) for number in numbers)


def route(plugin: str, listed: Collection[str], disabled: Collection[str]) -> str | None:
    """A route leads to a plugin that is listed and enabled."""
    if plugin not in listed:
        return f"no plugin {plugin!r} is listed under 'plugins:'{did_you_mean(plugin, listed)}"
    return f"the plugin {plugin!r} is not enabled" if plugin in disabled else None
