"""Marshmallow fields that take a value of their own kind and never convert: no text for a number, no true for 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marshmallow import ValidationError, fields

from .environment import FromEnvironment
from .frozen import freeze
from .scalar import read_scalar

NULL = "has no value: give it one, or remove the line"
MAPPING = "must be a mapping: `key: value` lines below it, or {} for none"

NEVER, MOST_DAYS = "never", 36_500.0
TINY = 1e-9  # seconds: nothing shorter is meant by a number above 0

Rule = Callable[[Any], str | None]  # what is wrong with a value, none when it is well


class OfKey(str):
    """A message about a key, not about its value."""

    __slots__ = ()


class Exact(fields.Field[Any]):
    """A value of one kind, which is then held to its rules."""

    default_error_messages = {"null": NULL}  # noqa: RUF012

    def __init__(
        self, noun: str, kinds: tuple[type, ...], *rules: Rule, into: Callable[[Any], Any] | None = None
    ) -> None:
        self.noun, self.kinds, self.rules, self.into = noun, kinds, rules, into
        super().__init__()

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        taken = freeze(value if str in self.kinds else _read(value))
        if type(taken) not in self.kinds:
            raise ValidationError(f"must be {self.noun}, not {_kind(taken)}{self._hint(taken)}")
        if problems := [problem for rule in self.rules if (problem := rule(taken))]:
            raise ValidationError(problems)
        return self.into(taken) if self.into else taken

    def _hint(self, value: Any) -> str:
        try:
            quoted = isinstance(value, str) and type(read_scalar(value)) in self.kinds
        except ValueError:
            quoted = False
        return ": remove the quotes" if quoted else ""


def text(*rules: Rule) -> Exact:
    """A text without control characters."""
    return Exact("text", (str,), _printable, *rules)


def whole(minimum: int, maximum: int) -> Exact:
    """A whole number within a range."""
    return Exact("a whole number", (int,), _within(minimum, maximum, f"from {minimum} to {maximum}"))


def seconds(minimum: float, maximum: float) -> Exact:
    """A number of seconds, whole or not, within a range; a minimum of 0 is itself outside."""
    said = f"from {minimum:g} to {maximum:g}" if minimum else f"more than 0 and at most {maximum:g}"
    return Exact("a number of seconds", (float, int), _within(minimum or TINY, maximum, said), into=float)


def days() -> Exact:
    """A number of days, whole or not, or `never`, which becomes none."""
    return Exact("a number of days, or never", (float, int, str), _days, into=_kept)


def some_days(minimum: float) -> Exact:
    """A number of days, whole or not."""
    said = f"from {minimum:g} to {MOST_DAYS:g}"
    return Exact("a number of days", (float, int), _within(minimum, MOST_DAYS, said), into=float)


def switch() -> Exact:
    """True or false."""
    return Exact("true or false", (bool,))


class Table(fields.Field[Any]):
    """A mapping whose keys the admin chooses: each key keeps one rule, and each value is judged by `judge`."""

    default_error_messages = {"null": NULL}  # noqa: RUF012

    def __init__(self, key: Rule, judge: Callable[[Any], Any]) -> None:
        self.key, self.judge = key, judge
        super().__init__()

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise ValidationError(MAPPING)
        judged = {key: self._judged(key, inner) for key, inner in value.items()}
        if problems := {key: error.messages for key, error in judged.items() if isinstance(error, ValidationError)}:
            raise ValidationError(problems)
        return judged

    def _judged(self, key: str, value: Any) -> Any:
        if problem := self.key(key):
            return ValidationError([OfKey(problem)])
        try:
            return self.judge(value)
        except ValidationError as error:
            return error


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(inner) for inner in value]
    if not isinstance(value, FromEnvironment):
        return value
    try:
        return read_scalar(value.strip())
    except ValueError as refused:
        raise ValidationError(f"{refused} (in the environment variable)") from None


def _within(minimum: float, maximum: float, said: str) -> Rule:
    return lambda value: None if minimum <= value <= maximum else f"must be {said}, not {value}"


def _days(value: Any) -> str | None:
    if value == NEVER or (not isinstance(value, str) and 0 < value <= MOST_DAYS):
        return None
    return f"must be a number of days, more than 0 and at most {MOST_DAYS:g}, or {NEVER}"


def _kept(value: Any) -> float | None:
    return None if value == NEVER else float(value)


def _printable(value: str) -> str | None:
    return None if value.isprintable() else "must not hold line breaks or control characters"


def _kind(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return "nothing"
