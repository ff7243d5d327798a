"""A plugin's section of config.yaml, checked by the plugin's own schema, defaults filled in.

All mistakes are found together, each with its place in the file and, for a wrong name, the nearest right one.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from marshmallow import RAISE, Schema, ValidationError

from ..config import Config, PluginConfig, did_you_mean
from ..errors import PluginBroken
from .isolation import isolated

PHASE = "config"
CURE = "Correct it in config.yaml"

Mistake = tuple[str, str]  # the dotted path in config.yaml, and what is wrong there


def section(config: Config, plugin: str) -> PluginConfig:
    """What config.yaml says about one plugin; nothing when it says nothing."""
    return config.plugins.get(plugin, PluginConfig())


def checked_section(config: Config, plugin: str, schemas: Sequence[Any]) -> Mapping[str, Any]:
    """The plugin's options as its schema loads them. `schemas` is what the hook answered: one schema, or none.

    Raises:
        PluginBroken: the options do not pass, or the schema is not one.
    """
    given = _plain(section(config, plugin).config)
    path = f"plugins.{plugin}.config"
    if not schemas:
        refuse(config, plugin, [(f"{path}.{option}", "the plugin has no options") for option in given])
        return MappingProxyType({})
    with isolated(plugin, PHASE, f"Correct it in config.yaml, or report it to the author of plugin {plugin!r}"):
        schema = schema_of(schemas[0], "transqueue_config_schema")
        try:
            return _frozen(schema.load(given, unknown=RAISE))
        except ValidationError as error:
            names = [field.data_key or name for name, field in schema.load_fields.items()]
            refuse(config, plugin, list(_mistakes(path, error.messages, given, names)))
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


def _mistakes(path: str, messages: Any, given: Any, names: Sequence[str]) -> Iterator[Mistake]:
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            below = path if key == "_schema" else f"{path}.{key}"
            if isinstance(given, Mapping) and key in given and key not in names and names:
                yield below, f"unknown option{did_you_mean(str(key), names)}"
            else:
                yield from _mistakes(below, inner, None, ())
    elif isinstance(messages, list):
        for message in messages:
            yield from _mistakes(path, message, None, ())
    else:
        yield path, str(messages)


def _plain(value: Any) -> Any:
    """A copy in dicts and lists: schemas expect JSON, and what they change must not reach the configuration."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _frozen(loaded: Any) -> Mapping[str, Any]:
    return MappingProxyType(loaded) if isinstance(loaded, dict) else loaded
