"""Query filters, as far as the queue uses them. An operator that is not known here says so: add it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .expressions import is_true, value_of
from .values import MISSING, at, order, rank

Test = Callable[[dict[str, Any]], bool]


def compiled(query: Mapping[str, Any], variables: Mapping[str, Any]) -> Test:
    """What tells whether a document matches the query."""
    tests = []
    for name, wanted in query.items():
        if name[0] == "$":
            tests.append(_logic(name, wanted, variables))
        else:
            tests.append(_field(name, wanted))
    if len(tests) == 1:
        return tests[0]

    def matches(document: dict[str, Any]) -> bool:
        for test in tests:  # noqa: SIM110 (this is where the time goes)
            if not test(document):
                return False
        return True

    return matches


def _logic(name: str, wanted: Any, variables: Mapping[str, Any]) -> Test:
    if name == "$expr":
        return lambda document: is_true(value_of(wanted, document, variables))
    if name in ("$and", "$or", "$nor"):
        several = [compiled(one, variables) for one in wanted]
        if name == "$and":
            return lambda document: all(test(document) for test in several)
        found = name == "$or"
        return lambda document: any(test(document) for test in several) is found
    raise NotImplementedError(f"the simulated store does not know {name}: add it to {__name__}")


def _field(name: str, wanted: Any) -> Test:
    test = _operators(wanted) if _is_operators(wanted) else _equals(wanted)
    if "." not in name:
        return lambda document: test(document.get(name, MISSING))
    path = tuple(name.split("."))
    return lambda document: test(at(document, path))


def _is_operators(wanted: Any) -> bool:
    if type(wanted) is not dict:
        return False
    for name in wanted:
        return name[:1] == "$"
    return False


def _operators(wanted: Mapping[str, Any]) -> Callable[[Any], bool]:
    tests = []
    for name, operand in wanted.items():
        if name not in _TESTS:
            raise NotImplementedError(f"the simulated store does not know {name}: add it to {__name__}")
        tests.append(_TESTS[name](operand))
    if len(tests) == 1:
        return tests[0]
    return lambda value: all(test(value) for test in tests)


def _equals(wanted: Any) -> Callable[[Any], bool]:
    if wanted is None:
        return lambda value: value is None or value is MISSING
    if isinstance(wanted, str):
        return lambda value: value == wanted or (type(value) is list and wanted in value)
    kind = rank(wanted)
    return lambda value: (value == wanted and rank(value) == kind) or (type(value) is list and wanted in value)


def _in(operand: Any) -> Callable[[Any], bool]:
    try:
        among = frozenset(operand)
    except TypeError:
        several = [_equals(one) for one in operand]
        return lambda value: any(test(value) for test in several)
    null = None in among
    return lambda value: (
        (null and value is MISSING)
        or (any(item in among for item in value) if type(value) is list else type(value) is not dict and value in among)
    )


def _compared(holds: Callable[[Any, Any], bool]) -> Callable[[Any], Callable[[Any], bool]]:
    def made(operand: Any) -> Callable[[Any], bool]:
        kind, wanted = rank(operand), order(operand)
        return lambda value: rank(value) == kind and holds(order(value), wanted)

    return made


def _negated(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: not test(value)


_TESTS: dict[str, Callable[[Any], Callable[[Any], bool]]] = {
    "$eq": _equals,
    "$ne": lambda operand: _negated(_equals(operand)),
    "$in": _in,
    "$nin": lambda operand: _negated(_in(operand)),
    "$gt": _compared(lambda value, wanted: value > wanted),
    "$gte": _compared(lambda value, wanted: value >= wanted),
    "$lt": _compared(lambda value, wanted: value < wanted),
    "$lte": _compared(lambda value, wanted: value <= wanted),
    "$exists": lambda operand: lambda value: (value is not MISSING) is bool(operand),
}
