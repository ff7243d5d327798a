"""A plugin's section of config.yaml, checked by the plugin's own schema, defaults filled in.

All mistakes are found together, each with its place in the file and, for a wrong name, the nearest right one.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields

from ..config import Config, PluginConfig, did_you_mean
from ..errors import PluginBroken
from .isolation import isolated
from .secrets import masked, secrets_in

PHASE = "config"
HOOK = "transqueue_config_schema"
CURE = "Correct it in config.yaml"

Mistake = tuple[str, str]  # the dotted path in config.yaml, and what is wrong there


def section(config: Config, plugin: str) -> PluginConfig:
    """What config.yaml says about one plugin; nothing when it says nothing."""
    return config.plugins.get(plugin, PluginConfig())


def checked_section(config: Config, plugin: str, schema: Schema | None) -> Mapping[str, Any]:
    """The plugin's options as its schema loads them; without a schema it has none.

    Raises:
        PluginBroken: the options do not pass, or the schema fails.
    """
    given = _plain(section(config, plugin).config)
    path = f"plugins.{plugin}.config"
    if schema is None:
        refuse(config, plugin, [(f"{path}.{option}", "the plugin has no options") for option in given])
        return MappingProxyType({})
    secrets = secrets_in(schema, given)
    with isolated(plugin, PHASE, f"Correct it in config.yaml, or report it to the author of {plugin!r}", secrets):
        try:
            return _frozen(schema.load(_plain(given), unknown=RAISE))
        except ValidationError as error:
            wrong = _mistakes(path, error.messages, given, schema)
            refuse(config, plugin, [(place, masked(message, secrets)) for place, message in wrong])
            raise


def refuse(config: Config, plugin: str, mistakes: Sequence[Mistake]) -> None:
    """Raise `PluginBroken` with all of `mistakes` and their places, if there are any."""
    if mistakes:
        problems = [config.problem(path, message) for path, message in mistakes]
        reason = "; ".join(f"{path}: {message}" for path, message in mistakes)
        raise PluginBroken(plugin, PHASE, reason.rstrip("."), CURE, problems=problems)


def schema_of(given: Any, hook: str) -> Schema:
    """The schema that a hook answered with.

    Raises:
        TypeError: it is none.
    """
    made = given() if inspect.isclass(given) else given
    if not isinstance(made, Schema):
        raise TypeError(f"{hook} must return a marshmallow Schema, not {given!r}")
    return made


def _mistakes(path: str, messages: Any, given: Any, schema: Schema | None) -> Iterator[Mistake]:
    """Every message with its place; an unknown key, however deep, with the nearest right name."""
    if not isinstance(messages, Mapping):
        for message in messages if isinstance(messages, list) else [messages]:
            yield path, str(message)
        return
    known = {field.data_key or name: field for name, field in schema.load_fields.items()} if schema else {}
    for key, inner in messages.items():
        below = path if key == "_schema" else f"{path}.{key}"
        if known and isinstance(given, Mapping) and key in given and key not in known:
            yield below, f"unknown option{did_you_mean(str(key), known)}"
        else:
            yield from _mistakes(below, inner, _inner(given, key), _nested(known.get(key), schema, key))


def _inner(given: Any, key: Any) -> Any:
    if isinstance(given, Mapping):
        return given.get(key)
    return given[key] if isinstance(given, list) and isinstance(key, int) and key < len(given) else None


def _nested(field: Any, schema: Schema | None, key: Any) -> Schema | None:
    """The schema that messages below a key are of; that of a list's items stays."""
    if isinstance(field, fields.Nested):
        found: Schema = field.schema
        return found
    return schema if isinstance(key, int) else None


def _plain(value: Any) -> Any:
    """A copy in dicts and lists: schemas expect JSON, and what they change must not reach the configuration."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _frozen(loaded: Any) -> Mapping[str, Any]:
    return MappingProxyType(loaded) if isinstance(loaded, dict) else loaded
