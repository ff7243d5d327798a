"""How config.yaml is judged: which keys there are, what each may hold, and what must fit together.

The defaults are the dataclasses' own. A plugin's `config:` is only required to be a mapping: the plugin judges it.
The rules of `handlers:` are those of `transqueue.handlers.Handler`, so a bad override is found here, with its line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validates_schema

from . import rules
from .fields import MAPPING, NULL, Exact, OfKey, Table, days, seconds, some_days, switch, text, whole
from .frozen import FrozenDict
from .nearest import did_you_mean
from .values import ApiConfig, LogsConfig, MongodbConfig, PluginConfig, RetentionConfig, WorkersConfig

DAY = 86_400


def judge(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The checked fields of a `Config`, and all that is wrong: dotted path and message, `OfKey` where a key is."""
    try:
        return File().load(values), []
    except ValidationError as error:
        return {}, list(_flat(error.messages, ""))


def _flat(messages: Any, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(messages, dict):
        yield from ((path, message) for message in messages)
        return
    for key, inner in messages.items():
        below = f"{path}.{key}" if path else str(key)
        yield from _flat(inner, path if key == "_schema" else below)


class Section(Schema):
    """A mapping with known keys."""

    class Meta:
        """Unknown keys are refused below, with the nearest right name."""

        unknown = EXCLUDE

    error_messages = {"type": MAPPING}  # noqa: RUF012
    makes: ClassVar[type[Any]] = dict

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def only_known_keys(self, _data: Any, original: Any, **_: Any) -> None:
        if isinstance(original, dict):
            _raise({key: [OfKey(self.unknown_key(key))] for key in original if key not in self.fields})

    def unknown_key(self, key: str) -> str:
        return f"unknown key{did_you_mean(key, self.fields)}"

    @post_load
    def made(self, data: dict[str, Any], **_: Any) -> Any:
        return self.makes(**data)


class Part(fields.Nested):
    """A section inside another."""

    default_error_messages = {"null": NULL}  # noqa: RUF012


class MongodbSection(Section):
    """`mongodb:`"""

    makes = MongodbConfig
    uri = text(rules.mongodb_uri)
    database = text(rules.database)


class ApiSection(Section):
    """`api:`"""

    makes = ApiConfig
    host = text(rules.host)
    port = whole(1, 65_535)
    processes = whole(1, 64)
    threads = whole(1, 1024)
    max_queued = whole(1, 1_000_000_000)


class WorkersSection(Section):
    """`workers:`"""

    makes = WorkersConfig
    processes = whole(1, 512)
    lease_seconds = seconds(5, 3600)
    stop_seconds = seconds(0, 3600)
    memory_mib = whole(0, 1_048_576)


class RetentionSection(Section):
    """`retention:`"""

    makes = RetentionConfig
    done_days = days()
    rejected_days = days()
    cancelled_days = days()
    dead_days = days()
    idempotency_days = some_days(1)
    measures_days = some_days(1)


class LogsSection(Section):
    """`logs:`"""

    makes = LogsConfig
    format = text(rules.one_of("auto", "json", "console"))
    level = text(rules.one_of("debug", "info", "warning", "error"))


class Override(Section):
    """`plugins.<name>.handlers.<type>:`"""

    max_attempts = whole(1, 1000)
    backoff_seconds = Exact("a list, [first, longest]", (tuple,), rules.backoff, into=rules.floats)
    timeout_seconds = seconds(0, DAY)
    after_dead = text(rules.one_of("block", "skip"))


class PluginSection(Section):
    """`plugins.<name>:`"""

    makes = PluginConfig
    enabled = switch()
    config = Exact("a mapping", (FrozenDict,))
    handlers = Table(rules.type_or_family, Override().load)

    def unknown_key(self, key: str) -> str:
        if key in Override().fields:
            return "unknown key; it belongs under 'handlers:', below a transaction type"
        return f"unknown key; a plugin's own setting belongs under 'config:'{did_you_mean(key, self.fields)}"


class File(Section):
    """The whole of config.yaml."""

    mongodb = Part(MongodbSection)
    data_dir = text(rules.data_dir)
    api = Part(ApiSection)
    workers = Part(WorkersSection)
    retention = Part(RetentionSection)
    logs = Part(LogsSection)
    default_type = text(rules.transaction_type)
    plugins = Table(rules.plugin_name, PluginSection().load)
    routes = Table(rules.type_or_family, text().deserialize)
    transaction_module = text(rules.module)

    def unknown_key(self, key: str) -> str:
        sections = {name: part for name, part in self.fields.items() if isinstance(part, Part)}
        homes = [name for name, part in sections.items() if key in part.schema.fields]
        return f"unknown key; it belongs under '{homes[0]}:'" if homes else super().unknown_key(key)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def routes_lead_to_enabled_plugins(self, data: Any, original: Mapping[str, Any], **_: Any) -> None:
        listed, routes = original.get("plugins", {}), data.get("routes", {})
        if isinstance(listed, dict):
            disabled = {name for name, plugin in data.get("plugins", {}).items() if not plugin.enabled}
            found = {type: rules.route(plugin, listed, disabled) for type, plugin in routes.items()}
            _raise({"routes": {type: [problem] for type, problem in found.items() if problem}})


def _raise(problems: dict[str, Any]) -> None:
    if any(problems.values()):
        raise ValidationError(problems)
