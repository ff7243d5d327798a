"""A JSON Schema as the rows of a table, one for each field, those of nested objects with dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..submission import write_json

_REF = "#/components/schemas/"
_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
    "minLength": "length at least",
    "maxLength": "length at most",
    "minItems": "items at least",
    "maxItems": "items at most",
    "pattern": "matches",
    "default": "default",
}

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One field: what it is, and whatever limits it. A parameter also has a place: path, query or header."""

    name: str
    kind: str
    required: bool
    words: str
    limits: tuple[tuple[str, str], ...]
    example: str
    place: str = ""


def rows(schema: Schema, components: Schema, prefix: str = "", above: tuple[Schema, ...] = ()) -> Iterator[Row]:
    """The fields of an object, or of an array's objects, in the order of the schema; none of one that is in itself."""
    found = _object(schema, components)
    if any(found is one for one in above):
        return
    required = found.get("required", ())
    for name, field in found.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield _row(path, field, components, required=name in required)
        inside = f"{path}{'[]' * _is_array(field, components)}."
        yield from rows(field, components, inside, (*above, found))


def kind(schema: Schema, components: Schema) -> str:
    """What a value is, in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"].removeprefix(_REF).rpartition(".")[2])
    for combined in ("oneOf", "anyOf", "allOf"):
        if combined in schema:
            return " or ".join(kind(one, components) for one in schema[combined])
    if "const" in schema:
        return write_json(schema["const"])
    if "enum" in schema:
        return " or ".join(write_json(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_item(schema.get('items', {}), components)}"
    return _plain(schema)


def outline(schema: Schema, components: Schema) -> str:
    """What an answer is: a name, or the keys of an object that has none."""
    if "properties" not in schema:
        return kind(schema, components)
    keys = (f"{write_json(name)}: {outline(value, components)}" for name, value in schema["properties"].items())
    return f"{{{', '.join(keys)}}}"


def _row(path: str, field: Schema, components: Schema, *, required: bool) -> Row:
    limits = tuple((words, _written(field[name])) for name, words in _LIMITS.items() if name in field)
    example = field.get("example", next(iter(field.get("examples", ())), None))
    words = str(field.get("description", ""))
    return Row(path, kind(field, components), required, words, limits, "" if example is None else write_json(example))


def _object(schema: Schema, components: Schema) -> Schema:
    """The object that a schema leads to: behind a reference, an array, or the other choice than null."""
    found = resolved(schema, components)
    if _is_array(found, components):
        return _object(found.get("items", {}), components)
    choices = [one for one in found.get("anyOf", found.get("allOf", ())) if one != {"type": "null"}]
    return _object(choices[0], components) if len(choices) == 1 else found


def resolved(schema: Schema, components: Schema) -> Schema:
    """The schema, or the component that it refers to."""
    name = schema.get("$ref", "").removeprefix(_REF)
    found: Schema = components.get(name, {}) if name else schema
    return found


def _is_array(schema: Schema, components: Schema) -> bool:
    return bool(resolved(schema, components).get("type") == "array")


def _item(schema: Schema, components: Schema) -> str:
    found = outline(schema, components)
    return f"({found})" if " or " in found else found


def _plain(schema: Schema) -> str:
    type = schema.get("type", "any value")
    words = type if isinstance(type, str) else " or ".join(type)
    return f"{words} ({schema['format']})" if "format" in schema else words


def _written(value: Any) -> str:
    return value if isinstance(value, str) else write_json(value)
