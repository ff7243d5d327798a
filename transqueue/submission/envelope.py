"""The two bodies of the door: the classic one and the typed one.

A body without the key `type` is classic, and whatever is wrong with it has one fixed answer. The classic body keeps
its shape whatever type it is submitted as.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from marshmallow import INCLUDE, Schema, ValidationError, fields, validate, validates_schema

from ..errors import SubmissionRefused
from ..handlers import TYPE_LENGTH
from .fields import Number, Object
from .idempotency import KEY
from .strict_json import is_short

CLASSIC_INVALID = "classic_invalid"
CLASSIC_MESSAGE = "Invalid input. You must provide a username and a numeric value."
USERNAME_LENGTH = 256
VALUE_LIMIT = 10**15
VALUE_PLACES = 18  # with 15 digits before the point, sums stay exact in a Decimal128
DELAY_LIMIT_SECONDS = 10 * 366 * 24 * 3600
VALUE_RANGE = {"exclusiveMinimum": -VALUE_LIMIT, "exclusiveMaximum": VALUE_LIMIT}
PRIORITIES = (-10, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a transaction is to be queued; `sent` is the JSON as it came, `plugins` the part of it that is theirs."""

    delay_seconds: int | Decimal | None = None
    run_at: datetime | None = None
    priority: int | None = None
    plugins: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One well-formed submission; `type` is none for a classic one."""

    data: dict[str, Any]
    type: str | None = None
    options: Options = Options()
    idempotency_key: str | None = None

    @property
    def classic(self) -> bool:
        """Whether it goes to the configured default type, and is answered in the classic shape."""
        return self.type is None


def read_envelope(value: Any) -> Envelope:
    """The envelope of a body that is submitted alone.

    Raises:
        SubmissionRefused: 400, `CLASSIC_INVALID` or `invalid_data`.
    """
    return _typed(value, _TYPED) if isinstance(value, dict) and "type" in value else _classic(value)


def read_item(value: Any) -> Envelope:
    """The envelope of one item of a batch, which may carry its own idempotency key.

    Raises:
        SubmissionRefused: as `read_envelope`.
    """
    if not isinstance(value, dict) or "type" not in value:
        return _classic_item(value)
    return _typed(value, _ITEM)


def classic_invalid() -> SubmissionRefused:
    """The one answer to everything that is neither a valid classic body nor a typed one."""
    return SubmissionRefused(400, CLASSIC_INVALID, CLASSIC_MESSAGE)


def invalid_data(errors: Any, prefix: str = "") -> SubmissionRefused:
    """The refusal of Marshmallow's nested messages, by dotted path."""
    flat: dict[str, list[str]] = {}
    _flatten(errors, prefix, flat)
    return SubmissionRefused(400, "invalid_data", f"The submission is not valid: {_first(flat)}", errors=flat)


def _bounded(value: int | Decimal) -> None:
    if not -VALUE_LIMIT < value < VALUE_LIMIT:
        raise ValidationError("Must be less than 10^15.")
    if isinstance(value, Decimal) and int(value.as_tuple().exponent) < -VALUE_PLACES:
        raise ValidationError("Must have no digit below 10^-18.")


class ClassicBody(Schema):
    """The classic body, for the configured default type."""

    username = fields.String(
        required=True, validate=validate.Length(1, USERNAME_LENGTH), metadata={"example": "user123"}
    )
    value = Number(required=True, validate=_bounded, metadata=VALUE_RANGE | {"example": 150.0})


class OptionsBody(Schema):
    """How a transaction is to be queued. Other keys are the plugins', who check them."""

    class Meta:
        """Admission knows which plugins there are."""

        unknown = INCLUDE

    delay_seconds = Number(
        validate=validate.Range(0, DELAY_LIMIT_SECONDS),
        metadata={"description": "Not before so many seconds from now."},
    )
    run_at = fields.AwareDateTime(
        format="iso", metadata={"description": "Not before this time: ISO 8601 with a zone, at most 10 years ahead."}
    )
    priority = fields.Integer(
        strict=True, validate=validate.Range(*PRIORITIES), metadata={"description": "Higher goes first."}
    )

    @validates_schema
    def _one_start(self, data: dict[str, Any], **_: Any) -> None:
        if "delay_seconds" in data and "run_at" in data:
            raise ValidationError("Give delay_seconds or run_at, not both.", "run_at")


class _Typed(Schema):
    type = fields.String(required=True, validate=validate.Length(1, TYPE_LENGTH))
    data = Object(required=True)
    options = fields.Nested(OptionsBody)


class _Item(_Typed):
    idempotency_key = fields.String(validate=validate.Regexp(rf"{KEY.pattern}\Z", error="Not a valid key."))


_CLASSIC, _TYPED, _ITEM = ClassicBody(), _Typed(), _Item()
OWN_OPTIONS = frozenset(OptionsBody().fields)  # no plugin may have options under these names


def _classic(value: Any) -> Envelope:
    if not isinstance(value, dict) or not (_is_plainly_classic(value) or not _CLASSIC.validate(value)):
        raise classic_invalid()
    return Envelope(data=value)


def _is_plainly_classic(value: dict[str, Any]) -> bool:
    """Whether `ClassicBody` finds nothing wrong, at a tenth of its cost; what is not so plain is left to it."""
    username, amount = value.get("username"), value.get("value")
    if len(value) != 2 or type(username) is not str or not 1 <= len(username) <= USERNAME_LENGTH:
        return False
    if type(amount) is Decimal:
        if is_short(amount):
            return True
        return int(amount.as_tuple().exponent) >= -VALUE_PLACES and -VALUE_LIMIT < amount < VALUE_LIMIT
    return type(amount) is int and -VALUE_LIMIT < amount < VALUE_LIMIT


def _is_plainly_typed(value: dict[str, Any]) -> bool:
    """The same of `_Typed`: a type and data, and nothing else."""
    type_, data = value.get("type"), value.get("data")
    return len(value) == 2 and type(type_) is str and 1 <= len(type_) <= TYPE_LENGTH and type(data) is dict


def _classic_item(value: Any) -> Envelope:
    if not isinstance(value, dict) or "idempotency_key" not in value:
        return _classic(value)
    envelope = _classic({name: item for name, item in value.items() if name != "idempotency_key"})
    return replace(envelope, idempotency_key=_own_key(value["idempotency_key"]))


def _own_key(key: Any) -> str:
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise classic_invalid()
    return key


def _typed(value: dict[str, Any], schema: Schema) -> Envelope:
    if _is_plainly_typed(value):
        return Envelope(type=value["type"], data=value["data"])
    try:
        loaded = schema.load(value)
    except ValidationError as error:
        raise invalid_data(error.messages) from None
    return Envelope(
        type=loaded["type"],
        data=value["data"],
        options=_options(loaded.get("options", {}), value.get("options", {})),
        idempotency_key=loaded.get("idempotency_key"),
    )


def _options(loaded: dict[str, Any], sent: dict[str, Any]) -> Options:
    own = {name: value for name, value in loaded.items() if name in OWN_OPTIONS}
    return Options(**own, plugins={name: value for name, value in sent.items() if name not in OWN_OPTIONS}, sent=sent)


def _flatten(messages: Any, path: str, flat: dict[str, list[str]]) -> None:
    if isinstance(messages, dict):
        for name, below in messages.items():
            _flatten(below, path if name == "_schema" else f"{path}{name}.", flat)
    else:
        listed = messages if isinstance(messages, list) else [messages]
        flat[path.rstrip(".")] = [str(message) for message in listed]


def _first(flat: dict[str, list[str]]) -> str:
    path, messages = next(iter(flat.items()))
    return f"{path}: {messages[0]}" if path else messages[0]
