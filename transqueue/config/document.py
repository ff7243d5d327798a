"""Strict YAML with positions: mappings, lists, texts, numbers, true, false and null, each key once, in one document.

Values are built from the parser's events one by one, so nothing is constructed that is not allowed here, nesting is
counted before it can hurt, and one mistake does not hide the next. Only what breaks the grammar ends the reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from ..errors import Problem
from .frozen import FrozenDict
from .positions import Mark, Positions
from .scalar import read_scalar

MAX_DEPTH = 32
EMPTY = "is empty; `transqueue init` writes a commented one"

_ABSENT = object()  # in place of a value that was refused, so that it is not judged again


@dataclass(frozen=True, slots=True)
class Document:
    """What a YAML text says, where, and what is wrong with it; refused values are left out of `values`."""

    values: dict[str, Any]
    positions: Positions
    problems: tuple[Problem, ...]


def read_document(text: str) -> Document:
    """Read all of `text`; mistakes are in the result, none is raised."""
    reading = _Reading(text)
    values = reading.document()
    positions = Positions(FrozenDict(reading.keys), FrozenDict(reading.values))
    return Document(values, positions, tuple(reading.problems))


class _Unreadable(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem)


class _Reading:
    def __init__(self, text: str) -> None:
        self._text = text
        self._events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)
        self.keys: dict[str, Mark] = {"": (1, 1)}
        self.values: dict[str, Mark] = {}
        self.problems: list[Problem] = []

    def document(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        try:
            values = self._only_document()
        except _Unreadable as stop:
            self.problems.append(stop.problem)
        return values

    def _only_document(self) -> dict[str, Any]:
        self._next()
        start = self._next()
        if isinstance(start, events.StreamEndEvent):
            raise _Unreadable(Problem(1, 1, "", EMPTY))
        if start.tags or start.version not in (None, (1, 2)):
            self._report(start, "", "YAML directives are not allowed: remove the lines that begin with %")
        top = self._top(self._next())
        self._next()
        more = self._next()
        if not isinstance(more, events.StreamEndEvent):
            self._report(more, "", "a second document begins here: only one is allowed")
        return top

    def _top(self, event: Any) -> dict[str, Any]:
        value = self._node(event, "", 1)
        if value is None:
            self._report(event, "", EMPTY)
        elif not isinstance(value, dict) and value is not _ABSENT:
            self._report(event, "", "must be a mapping at the top: lines of `key: value`")
        return value if isinstance(value, dict) else {}

    def _node(self, event: Any, path: str, depth: int) -> Any:
        value = self._content(event, path, depth)
        return value if self._plain(event, path) else _ABSENT

    def _content(self, event: Any, path: str, depth: int) -> Any:
        match event:
            case events.ScalarEvent():
                return self._scalar(event, path)
            case events.MappingStartEvent() | events.SequenceStartEvent() if depth > MAX_DEPTH:
                raise _Unreadable(Problem(*_mark(event), "", f"nested more than {MAX_DEPTH} deep"))
            case events.MappingStartEvent():
                return self._mapping(path, depth)
            case events.SequenceStartEvent():
                return self._sequence(path, depth)
            case _:
                self._report(event, path, "aliases are not allowed: write the value again")
                return _ABSENT

    def _plain(self, event: Any, path: str) -> bool:
        if isinstance(event, events.AliasEvent):
            return False
        if event.anchor is not None:
            self._report(event, path, "anchors are not allowed: remove the word that begins with &")
        if event.tag is not None:
            self._report(event, path, "tags are not allowed: remove the word that begins with !")
        return event.tag is None

    def _mapping(self, path: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self._next(), events.MappingEndEvent):
            key = self._key(event, path, depth)
            inner = _below(path, key or "?")
            again = self._again(event, inner) if key in found else False
            self.keys.setdefault(inner, _mark(event))
            value = self._value(self._next(), inner, depth)
            if key is not None and not again:
                found[key] = value
        return {key: value for key, value in found.items() if value is not _ABSENT}

    def _key(self, event: Any, path: str, depth: int) -> str | None:
        problems = len(self.problems)
        key = self._node(event, _below(path, "?"), depth + 1)
        if isinstance(key, str) and key:
            return key
        del self.problems[problems:]
        self._report(event, path, "a key must be text: put it in quotes")
        return None

    def _again(self, event: Any, path: str) -> bool:
        self._report(event, path, f"is written twice; the first is on line {self.keys[path][0]}")
        return True

    def _value(self, event: Any, path: str, depth: int) -> Any:
        if isinstance(event, events.ScalarEvent) and (event.value or event.style):  # else it stands nowhere
            self.values.setdefault(path, _mark(event))
        return self._node(event, path, depth + 1)

    def _sequence(self, path: str, depth: int) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := self._next(), events.SequenceEndEvent):
            inner = _below(path, str(len(found)))
            self.keys.setdefault(inner, _mark(event))
            value = self._value(event, inner, depth)
            found.append(None if value is _ABSENT else value)
        return found

    def _scalar(self, event: Any, path: str) -> Any:
        try:
            event.value.encode()
            return event.value if event.style else read_scalar(event.value)
        except UnicodeEncodeError:
            self._report(event, path, "half of a surrogate pair is no character")
        except ValueError as refused:
            self._report(event, path, str(refused))
        return _ABSENT

    def _next(self) -> Any:
        try:
            return next(self._events)
        except MarkedYAMLError as error:
            raise _Unreadable(_grammar(error, self._text)) from None
        except ReaderError as error:
            raise _Unreadable(_character(error, self._text)) from None
        except Exception as error:  # ruamel.yaml lets through what Python raises, on "\U00110000" for one
            raise _Unreadable(Problem(0, 0, "", f"cannot be read as YAML: {error}")) from None

    def _report(self, event: Any, path: str, message: str) -> None:
        self.problems.append(Problem(*_mark(event), path, message))


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _mark(event: Any) -> Mark:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _grammar(error: MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    said = ", ".join(part for part in (error.context, error.problem) if part)
    lines = text.splitlines()
    unquoted = "${" in (lines[line - 1] if 0 < line <= len(lines) else "")
    hint = '; inside { } and [ ] write "${NAME}" with quotes' if unquoted else ""
    return Problem(line, column, "", f"this is not YAML: {said}{hint}")


def _character(error: ReaderError, text: str) -> Problem:
    before = text[: error.position]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return Problem(line, column, "", f"this character is not allowed: U+{ord(text[error.position]):04X}")
