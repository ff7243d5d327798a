"""One plugin's settings for people: every option with its default, its help, its value, and where that comes from.

Secrets are masked. Shown are the options of the plugin's own schema and, for each type, what an admin may override.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, fields, missing

from ..config import Config
from ..errors import PluginBroken
from ..handlers import Handler
from . import find, section
from .load import Plugin, load_one, open_schema
from .overrides import OVERRIDABLE
from .secrets import MASK, is_secret

DEFAULT, PLUGIN = "default", "the plugin"
DEPTH = 5  # of schemas that nest themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One option, or one override of a type.

    Attributes:
        path: its dotted path below `plugins.<name>`.
        default: what holds without it; none with `required`.
        value: what holds now; masked when it is `secret`.
        source: `file:line:column`, or `default` or `the plugin`.
    """

    path: str
    kind: str
    default: Any = None
    required: bool = False
    secret: bool = False
    help: str = ""
    value: Any = None
    source: str = DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One installed plugin with its settings. `broken` is why it does not work, else empty."""

    name: str
    distribution: str
    version: str
    enabled: bool
    types: Sequence[str]
    settings: Sequence[Setting]
    broken: str = ""
    cure: str = ""


def described(name: str, config: Config) -> Described:
    """Import one plugin here and describe it, also when its section is wrong or it is not enabled.

    Raises:
        PluginBroken: it is not installed, or cannot be imported.
    """
    found = find.find(name, find.installed())
    schema = open_schema(name)
    plugin, broken = _loaded(name, config)
    handlers = plugin.handlers if plugin else {}
    settings = [*_options(config, name, schema), *_overrides(config, name, handlers)]
    return Described(
        name=name,
        distribution=found.distribution,
        version=found.version,
        enabled=name in config.plugins and config.plugins[name].enabled,
        types=sorted(handlers),
        settings=settings,
        broken=f"{broken.phase}: {broken.reason}" if broken else "",
        cure=broken.cure if broken else "",
    )


def _loaded(name: str, config: Config) -> tuple[Plugin | None, PluginBroken | None]:
    try:
        return load_one(name, config), None
    except PluginBroken as error:
        return None, error


def _options(config: Config, name: str, schema: Schema | None) -> Iterator[Setting]:
    if schema is not None:
        given = section.section(config, name).config
        yield from _fields(config, f"plugins.{name}", "config", schema, given, DEPTH)


def _fields(config: Config, root: str, path: str, schema: Schema, given: Any, depth: int) -> Iterator[Setting]:
    for name, field in schema.load_fields.items():
        key = field.data_key or name
        inner = given.get(key, missing) if isinstance(given, Mapping) else missing
        if isinstance(field, fields.Nested) and not field.many and depth and not is_secret(field):
            yield from _fields(config, root, f"{path}.{key}", field.schema, inner, depth - 1)
        else:
            yield _setting(config, root, f"{path}.{key}", field, inner)


def _setting(config: Config, root: str, path: str, field: fields.Field[Any], given: Any) -> Setting:
    default = field.load_default() if callable(field.load_default) else field.load_default
    default = None if default is missing else default
    secret = is_secret(field)
    value = default if given is missing else given
    return Setting(
        path=path,
        kind=type(field).__name__.lower(),
        default=MASK if secret and default else default,
        required=field.required,
        secret=secret,
        help=str(field.metadata.get("description", "")),
        value=MASK if secret and value else value,
        source=DEFAULT if given is missing else config.place(f"{root}.{path}"),
    )


def _overrides(config: Config, name: str, handlers: Mapping[str, Handler]) -> Iterator[Setting]:
    words = section.section(config, name).handlers
    for type, handler in sorted(handlers.items()):
        for field in OVERRIDABLE:
            path = f"handlers.{type}.{field}"
            given = field in words.get(type, {})
            source = config.place(f"plugins.{name}.{path}") if given else PLUGIN
            yield Setting(path=path, kind="override", value=getattr(handler, field), source=source)
