"""The bodies that can be submitted, as JSON Schema: the classic one, and one for each claimed type or family.

Each type's schema is described apart from the others, under names of its own, so that neither equal names nor a schema
beyond description spoil the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..events import Events
from ..handlers import TYPE_LENGTH, Handler
from ..submission import KEY, ClassicBody, OptionsBody, Vetter
from ..submission.admission import ORDERING_KEY_LENGTH
from .schemas import ANY_OBJECT, components, described, described_if_possible, example, json_schema
from .shapes import Shape, ref, shape
from .submissions import BATCH_ITEMS

DATA, TRANSACTION, ITEM = "data", "transaction", "item"  # the components of one type

_OWN_KEY: Shape = {
    "type": "string",
    "pattern": f"^{KEY.pattern}$",
    "description": "The idempotency key of this one; it goes before the header's.",
}
_PART = "[A-Za-z0-9_-]+"  # of a type, between dots


def bodies(
    claims: Mapping[str, Handler], vetters: Sequence[Vetter], default_type: str, events: Events
) -> Iterator[tuple[str, Shape]]:
    """Every component that a body is made of, by name: `Submission` and `Batch` refer to the others."""
    yield from _classic(default_type)
    yield from _options(vetters, events)
    for handler in claims.values():
        yield from _typed(handler, claims, events)
    whole, items = ([kind, *(part_of(type, part) for type in claims)] for kind, part in _VARIANTS)
    yield "Submission", {"oneOf": [ref(name) for name in whole]}
    listed = {"type": "array", "maxItems": BATCH_ITEMS, "items": {"oneOf": [ref(name) for name in items]}}
    yield "Batch", shape({"transactions": listed}, additionalProperties=False)


def part_of(type: str, part: str) -> str:
    """The name of one component of a type. No type has an empty part, as a family then seems to."""
    return f"{_prefix(type)}.{part}"


def example_type(type: str) -> str:
    """A type to show how one submits: itself, or one of the family."""
    return type.replace("*", "example")


_VARIANTS = (("Classic", TRANSACTION), ("ClassicItem", ITEM))


def _classic(default_type: str) -> Iterator[tuple[str, Shape]]:
    body = dict(json_schema(ClassicBody()))
    body["description"] = (
        f"The classic body, without a `type`: submitted as `{default_type}`, whose schema it must pass."
    )
    body["examples"] = [example(ClassicBody())]
    yield "Classic", body
    yield "ClassicItem", _as_item(body)


def _options(vetters: Sequence[Vetter], events: Events) -> Iterator[tuple[str, Shape]]:
    theirs = {
        vetter.plugin: described_if_possible(vetter.schema, events, json_schema, plugin=vetter.plugin) or ANY_OBJECT
        for vetter in vetters
        if vetter.schema
    }
    own = json_schema(OptionsBody())
    mine = {"description": "How a transaction is to be queued.", "properties": {**own["properties"], **theirs}}
    yield "Options", {**own, **mine, "additionalProperties": False, "not": {"required": ["delay_seconds", "run_at"]}}
    words = "Only those of plugins: transactions with an ordering key are processed in the order accepted."
    yield (
        "OptionsInOrder",
        {"type": "object", "properties": theirs, "additionalProperties": False, "description": words},
    )


def _typed(handler: Handler, claims: Mapping[str, Handler], events: Events) -> Iterator[tuple[str, Shape]]:
    prefix = _prefix(handler.type)

    def describe(schema: Any) -> tuple[Mapping[str, Shape], dict[str, Any]]:
        return components(schema, prefix, DATA, (TRANSACTION, ITEM)), example(schema)

    parts, data = described(handler, events, describe) or ({f"{prefix}.{DATA}": dict(ANY_OBJECT)}, {})
    yield from parts.items()
    body = _envelope(handler, claims, data)
    yield part_of(handler.type, TRANSACTION), body
    yield part_of(handler.type, ITEM), _as_item(body)


def _envelope(handler: Handler, claims: Mapping[str, Handler], data: dict[str, Any]) -> Shape:
    taken = ref(part_of(handler.type, DATA))
    if isinstance(handler.ordering_key, str):
        taken = {"allOf": [taken, _having(handler.ordering_key)]}
        _put(data, handler.ordering_key.split("."), "text")
    return shape(
        {
            "type": _type(handler.type, claims),
            "data": taken,
            "options": ref("Options" if handler.ordering_key is None else "OptionsInOrder"),
        },
        optional=["options"],
        additionalProperties=False,
        title=handler.type,
        description=handler.summary,
        examples=[{"type": example_type(handler.type), "data": data}],
    )


def _prefix(type: str) -> str:
    return type.replace("*", "")


def _as_item(body: Shape) -> Shape:
    more = {name: value for name, value in body.items() if name != "examples"}
    return {**more, "properties": {**body["properties"], "idempotency_key": _OWN_KEY}}


def _having(path: str) -> Shape:
    """An object with an ordering key at a dotted path."""
    name, _, below = path.partition(".")
    key: Shape = {"type": "string", "minLength": 1, "maxLength": ORDERING_KEY_LENGTH}
    return shape({name: _having(below) if below else key})


def _put(data: Any, path: list[str], value: str) -> None:
    """Put a value into an example at a path, unless something is there."""
    for name in path[:-1]:
        data = data.setdefault(name, {}) if isinstance(data, dict) else None
    if isinstance(data, dict):
        data.setdefault(path[-1], value)


def _type(type: str, claims: Mapping[str, Handler]) -> Shape:
    if not type.endswith(".*"):
        return {"const": type}
    family: Shape = {"type": "string", "maxLength": TYPE_LENGTH, "pattern": _pattern(type)}
    narrower = [claim for claim in claims if claim != type and claim.startswith(type[:-1])]
    exact = [{"const": claim} for claim in narrower if not claim.endswith(".*")]
    families = [{"pattern": _pattern(claim)} for claim in narrower if claim.endswith(".*")]
    return family | {"not": {"anyOf": [*exact, *families]}} if narrower else family


def _pattern(family: str) -> str:
    return rf"^{family[:-2]}".replace(".", r"\.") + rf"(\.{_PART})+$"
