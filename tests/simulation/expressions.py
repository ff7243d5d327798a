"""Aggregation expressions, as far as the queue uses them. One that is not known here says so: add it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

from .values import MISSING, at, order, path_of

Variables = Mapping[str, Any]


def value_of(expression: Any, document: dict[str, Any], variables: Variables) -> Any:
    """The value of an expression for a document; MISSING where MongoDB would find or leave no field."""
    kind = type(expression)
    if kind is str:
        return _named(expression, document, variables) if expression[:1] == "$" else expression
    if kind is dict:
        first = next(iter(expression), "")
        if first == "$literal":
            return expression[first]
        if first.startswith("$"):
            return _operator(first)(expression[first], document, variables)
        found = {name: value_of(item, document, variables) for name, item in expression.items()}
        return {name: value for name, value in found.items() if value is not MISSING}
    if kind is list or kind is tuple:
        found = [value_of(item, document, variables) for item in expression]
        return [None if value is MISSING else value for value in found]
    return expression


def _named(name: str, document: dict[str, Any], variables: Variables) -> Any:
    if name[:2] != "$$":
        return at(document, path_of(name[1:]))
    head, *path = path_of(name[2:])
    if head in variables:
        value = variables[head]
    elif head in _KNOWN:
        value = _KNOWN[head](document)
    else:
        raise NotImplementedError(f"the simulated store does not know {name}")
    return at(value, tuple(path)) if path else value


def _operator(name: str) -> Callable[[Any, dict[str, Any], Variables], Any]:
    if name in _LAZY:
        return _LAZY[name]
    if name not in _OPERATORS:
        raise NotImplementedError(f"the simulated store does not know {name}: add it to {__name__}")
    return lambda given, document, variables: _OPERATORS[name](*_arguments(given, document, variables))


def _arguments(given: Any, document: dict[str, Any], variables: Variables) -> list[Any]:
    items = given if isinstance(given, list | tuple) else [given]
    return [value_of(item, document, variables) for item in items]


def _if_null(given: Any, document: dict[str, Any], variables: Variables) -> Any:
    for item in given:
        value = value_of(item, document, variables)
        if value is not None and value is not MISSING:
            return value
    return value


def _cond(given: Any, document: dict[str, Any], variables: Variables) -> Any:
    if isinstance(given, dict):
        given = [given["if"], given["then"], given["else"]]
    test, then, otherwise = given
    return value_of(then if is_true(value_of(test, document, variables)) else otherwise, document, variables)


def _and(given: Any, document: dict[str, Any], variables: Variables) -> bool:
    return all(is_true(value_of(item, document, variables)) for item in given)


def _or(given: Any, document: dict[str, Any], variables: Variables) -> bool:
    return any(is_true(value_of(item, document, variables)) for item in given)


def is_true(value: Any) -> bool:
    """Whether MongoDB takes a value for true."""
    return value is not MISSING and value is not None and value is not False and value != 0


def _add(*terms: Any) -> Any:
    if any(term is None or term is MISSING for term in terms):
        return None
    return reduce(lambda left, right: _shifted(left, right, 1), terms)


def _subtract(left: Any, right: Any) -> Any:
    if left in (None, MISSING) or right in (None, MISSING):
        return None
    if isinstance(left, datetime) and isinstance(right, datetime):
        return round((left - right).total_seconds() * 1000)
    return _shifted(left, right, -1)


def _shifted(left: Any, right: Any, sign: int) -> Any:
    if isinstance(right, datetime):
        left, right = right, left
    return left + timedelta(milliseconds=sign * right) if isinstance(left, datetime) else left + sign * right


def _slice(items: Any, *counts: int) -> Any:
    if items is None or items is MISSING:
        return None
    if len(counts) == 2:
        start = counts[0] if counts[0] >= 0 else max(0, len(items) + counts[0])
        return items[start : start + counts[1]]
    return items[: counts[0]] if counts[0] >= 0 else items[counts[0] :]


def _concat_arrays(*arrays: Any) -> Any:
    if any(one is None or one is MISSING for one in arrays):
        return None
    return [item for one in arrays for item in one]


_KNOWN: dict[str, Callable[[dict[str, Any]], Any]] = {"REMOVE": lambda _: MISSING, "ROOT": lambda document: document}
_LAZY: dict[str, Callable[[Any, dict[str, Any], Variables], Any]] = {
    "$ifNull": _if_null,
    "$cond": _cond,
    "$and": _and,
    "$or": _or,
}
_OPERATORS: dict[str, Callable[..., Any]] = {
    "$add": _add,
    "$subtract": _subtract,
    "$slice": _slice,
    "$concatArrays": _concat_arrays,
    "$not": lambda value: not is_true(value),
    "$eq": lambda left, right: order(left) == order(right),
    "$ne": lambda left, right: order(left) != order(right),
    "$gt": lambda left, right: order(left) > order(right),
    "$gte": lambda left, right: order(left) >= order(right),
    "$lt": lambda left, right: order(left) < order(right),
    "$lte": lambda left, right: order(left) <= order(right),
    "$in": lambda value, among: any(order(value) == order(one) for one in among),
    "$size": len,
    "$max": lambda *given: max((one for one in given if one not in (None, MISSING)), key=order, default=None),
    "$min": lambda *given: min((one for one in given if one not in (None, MISSING)), key=order, default=None),
    "$mergeObjects": lambda *given: {k: v for one in given if one not in (None, MISSING) for k, v in one.items()},
}
