"""Examples hold: what a schema shows submitters as an example must pass that schema.

The examples are those of the fields (`metadata={"example": …}`). Where every required field has one they are tried
together, as one submission; otherwise each by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from marshmallow import Schema, ValidationError, fields, missing

DEPTH = 5  # of schemas that nest themselves


def refuse_wrong_examples(schema: Schema | None, of: str) -> None:
    """Hold a schema to its own examples.

    Raises:
        ValueError: one does not pass.
    """
    mistakes = list(_mistakes(schema)) if schema else []
    if mistakes:
        raise ValueError(f"the example of {of} does not pass its own schema: {'; '.join(mistakes)}")


def _mistakes(schema: Schema) -> Iterator[str]:
    shown = _example(schema, DEPTH)
    if not shown:
        return
    names = {field.data_key or name: field for name, field in schema.load_fields.items()}
    whole = all(name in shown for name, field in names.items() if field.required)
    try:
        schema.load(deepcopy(shown), partial=not whole)
    except ValidationError as error:
        messages = error.messages if isinstance(error.messages, dict) else {"": error.messages}
        yield from (f"{name}: {said}" for name, said in messages.items() if whole or name in names)


def _example(schema: Schema, depth: int) -> Mapping[str, Any]:
    found = {field.data_key or name: _of(field, depth) for name, field in schema.load_fields.items() if depth}
    return {name: value for name, value in found.items() if value is not missing}


def _of(field: fields.Field[Any], depth: int) -> Any:
    if "example" in field.metadata:
        return field.metadata["example"]
    if isinstance(field, fields.Nested):
        nested = _example(field.schema, depth - 1)
        return ([nested] if field.many else nested) if nested else missing
    return missing
