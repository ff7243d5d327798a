"""The shapes of what the door answers, as JSON Schema: the components that its description refers to.

Objects are open unless their keys are promised for good, as those of the classic answers are: later versions add keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..submission import CLASSIC_MESSAGE
from ..transaction import HISTORY_KEPT, ID_LENGTH, State

Shape = dict[str, Any]

TEXT: Shape = {"type": "string"}
COUNT: Shape = {"type": "integer", "minimum": 0}
TEXTS: Shape = {"type": "array", "items": TEXT}
TIME: Shape = {"type": "string", "format": "date-time"}
ID: Shape = {"type": "string", "pattern": f"^[0-9]{{{ID_LENGTH}}}$", "examples": ["179535396754813836272"]}
ANY: Shape = {"type": "object"}


def ref(name: str) -> Shape:
    """The schema of a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def shape(properties: Mapping[str, Any], *, optional: Sequence[str] = (), **more: Any) -> Shape:
    """An object that has each of `properties`, but for the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required, **more}


def listed(items: Mapping[str, Any]) -> Shape:
    """An array."""
    return {"type": "array", "items": items}


def nullable(value: Mapping[str, Any]) -> Shape:
    """A value, or null."""
    return {"anyOf": [value, {"type": "null"}]}


def succeeded(data: Mapping[str, Any] | None = None, *, optional: Sequence[str] = (), **more: Any) -> Shape:
    """A success, with `data` if it has any."""
    properties = {"status": {"const": "success"}} | ({} if data is None else {"data": data}) | more
    return shape(properties, optional=optional)


_STATE: Shape = {"type": "string", "enum": [str(state) for state in State]}
_REPLAYED: Shape = {"const": True, "description": "In a batch: it had been accepted before."}
_FAILURE = shape({"type": TEXT, "message": TEXT})

_ACCEPTED_CLASSIC = shape(
    {
        "status": {"const": "success"},
        "message": {"type": "string", "examples": ["Data received for user user123"]},
        "data": shape(
            {"username": TEXT, "value": {"type": "number"}, "transaction_id": ID}, additionalProperties=False
        ),
        "replayed": _REPLAYED,
    },
    optional=["replayed"],
    additionalProperties=False,
    description="The answer to a classic submission; the value is given back as it was sent.",
)
_ACCEPTED_TYPED = succeeded(
    shape({"transaction_id": ID, "type": TEXT, "state": {"const": "queued"}, "data": ANY}),
    message=TEXT,
    replayed=_REPLAYED,
    optional=["replayed"],
)
_ERROR = shape(
    {
        "status": {"const": "error"},
        "message": TEXT,
        "code": {"type": "string", "description": "A stable word for programs."},
        "errors": {
            "type": "object",
            "additionalProperties": TEXTS,
            "description": "What is wrong with which field: messages by dotted path into the body.",
        },
    },
    optional=["errors"],
)
_ERROR_CLASSIC = shape(
    {"status": {"const": "error"}, "message": {"const": CLASSIC_MESSAGE}},
    additionalProperties=False,
    description="The one answer to whatever is neither a valid classic body nor one with a `type`.",
)
_HAPPENED = shape(
    {"at": TIME, "state": _STATE, "attempt": COUNT, "worker": nullable(TEXT), "lease": TEXT, "error": _FAILURE},
    optional=["worker", "lease", "error"],
)
_TRANSACTION = shape(
    {
        "transaction_id": ID,
        "type": TEXT,
        "state": _STATE,
        "data": {"type": "object", "description": "As it was sent."},
        "attempts": {**COUNT, "description": "Attempts charged so far."},
        "created_at": TIME,
        "due_at": TIME,
        "finished_at": nullable(TIME),
        "result": {"description": "What its handler returned."},
        "error": nullable(_FAILURE),
        "history": listed(ref("HistoryEntry")) | {"maxItems": HISTORY_KEPT},
    }
)
_PAUSE = shape({"by": TEXT, "at": TIME, "reason": TEXT}, description="Who paused it, when, and why.")
_PAUSED = shape({"type": TEXT, "paused": nullable(ref("PauseOf"))})
_PAUSE_OF = shape({"type": {"type": "string", "description": "The type, or its family."}, **_PAUSE["properties"]})
_REASON = shape({"code": TEXT, "sentence": TEXT, "change": {"type": "string", "description": "What would change it."}})
_EXPLANATION = shape({"transaction_id": ID, "summary": TEXT, "reasons": listed(_REASON)})
_LIMITS = shape(
    {
        "max_attempts": COUNT,
        "backoff_seconds": listed({"type": "number"}) | {"minItems": 2, "maxItems": 2},
        "timeout_seconds": {"type": "number"},
        "ordered": {"type": "boolean", "description": "Those of one ordering key are processed one at a time."},
        "bytes": COUNT,
    }
)
_TYPE = shape(
    {
        "type": {"type": "string", "description": "A type, or a family that ends in `.*`."},
        "summary": TEXT,
        "schema": {"type": "object", "description": "The JSON Schema of its data."},
        "example": ANY,
        "limits": _LIMITS,
        "plugin": TEXT,
        "version": TEXT,
        "paused": nullable(ref("PauseOf")),
    }
)
_PLUGIN = shape(
    {
        "name": TEXT,
        "state": {"type": "string", "enum": ["ok", "disabled", "missing", "broken"]},
        "phase": TEXT,
        "reason": {"type": "string", "description": "Why it is not working."},
        "cure": {"type": "string", "description": "What to do about it."},
        "distribution": TEXT,
        "version": TEXT,
        "types": TEXTS,
        "hooks": TEXTS,
        "warnings": TEXTS,
    }
)
_PROCESS = shape(
    {
        "role": {"type": "string", "enum": ["api", "worker"]},
        "host": TEXT,
        "slot": COUNT,
        "pid": COUNT,
        "plugins": {"type": "object", "additionalProperties": {"type": "object"}},
        "at": TIME,
    }
)
_RELOAD = shape(
    {"well": {"type": "boolean"}, "message": TEXT, "request": TEXT, "at": nullable(TIME)},
    description="How its last reload ended; one that was refused left what ran before running.",
)
_PART = shape(
    {
        "id": TEXT,
        "role": {"type": "string", "enum": ["up", "api", "work"]},
        "host": TEXT,
        "pid": COUNT,
        "version": TEXT,
        "config_file": TEXT,
        "started_at": nullable(TIME),
        "seen_at": nullable(TIME),
        "reload": nullable(_RELOAD),
        "asked": {"type": "string", "description": "The request for a reload that was made last."},
    }
)
_WORKER = shape(
    {
        "id": TEXT,
        "host": TEXT,
        "pid": COUNT,
        "slot": COUNT,
        "started_at": TIME,
        "until": TIME,
        "types": nullable(TEXTS | {"description": "What it has a working handler for."}),
        "broken": {"type": "object", "additionalProperties": TEXT, "description": "Why, by plugin."},
    },
    description="A worker process whose lease is held.",
)
_COUNTS: Shape = {
    "type": "object",
    "description": "Numbers of transactions by type, and then by state.",
    "additionalProperties": {
        "type": "object",
        "propertyNames": {"enum": _STATE["enum"]},
        "additionalProperties": COUNT,
    },
}
_DEPTH = shape(
    {
        "queued": COUNT,
        "due": {**COUNT, "description": "Those queued that could start."},
        "running": COUNT,
        "dead": COUNT,
        "oldest_due_at": nullable(TIME),
    }
)
_DEPTHS = shape(
    {"at": TIME, "types": {"type": "object", "additionalProperties": _DEPTH}},
    description="What has not left the queue, by type, as it was at one moment.",
)

SHAPES: Mapping[str, Shape] = {
    "AcceptedClassic": _ACCEPTED_CLASSIC,
    "AcceptedTyped": _ACCEPTED_TYPED,
    "Counts": _COUNTS,
    "Depths": _DEPTHS,
    "Error": _ERROR,
    "ErrorClassic": _ERROR_CLASSIC,
    "HistoryEntry": _HAPPENED,
    "Explanation": _EXPLANATION,
    "Part": _PART,
    "PauseOf": _PAUSE_OF,
    "PausedType": _PAUSED,
    "Pauses": {"type": "object", "additionalProperties": _PAUSE},
    "Plugin": _PLUGIN,
    "Process": _PROCESS,
    "Stats": shape({"types": ref("Counts"), "counted_to": COUNT, "depths": ref("Depths"), "paused": ref("Pauses")}),
    "Transaction": _TRANSACTION,
    "Type": _TYPE,
    "Worker": _WORKER,
}


def _error(description: str, schema: Shape | None = None, **headers: Any) -> Shape:
    answer = {"description": description, "content": {"application/json": {"schema": schema or ref("Error")}}}
    return answer | ({"headers": headers} if headers else {})


_RETRY_AFTER = {"required": True, "schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}

ERRORS: Mapping[str, Shape] = {
    "InvalidQuery": _error("A query parameter is not valid: `invalid_data` (see `errors`)."),
    "InvalidBatch": _error(
        "It is not valid as a whole: `invalid_data` (see `errors`), `invalid_json`, `invalid_idempotency_key` or "
        "`body_incomplete`. Nothing was stored."
    ),
    "InvalidSubmission": _error(
        "It is not valid, and nothing was stored. With a `type`: `invalid_data` (see `errors`), `invalid_json` or "
        "`unknown_type`. Without one: exactly the classic answer, or `invalid_data` of the default type's schema. "
        "Either way: `invalid_idempotency_key` or `body_incomplete`.",
        {"oneOf": [ref("Error"), ref("ErrorClassic")]},
    ),
    "Unauthorized": _error(
        "An API key is wanted, and none was sent or a wrong one: `unauthorized`.",
        **{"WWW-Authenticate": {"required": True, "schema": TEXT}},
    ),
    "Forbidden": _error(
        "The API key is not good for this: `forbidden` (its scopes) or `type_not_allowed` (its types). "
        "Nothing was changed."
    ),
    "TooManyWrongKeys": _error("Too many wrong keys: `too_many_wrong_keys`.", **{"Retry-After": _RETRY_AFTER}),
    "NotFound": _error("There is no such thing: `not_found`."),
    "WrongState": _error("Its state does not allow it: `wrong_state`. Nothing was changed."),
    "LengthRequired": _error("No Content-Length, or a chunked body: `length_required`."),
    "TooLarge": _error("The body is too large: `too_large`."),
    "UnsupportedMediaType": _error(
        "Another Content-Type, charset or Content-Encoding than is accepted: `unsupported_media_type`."
    ),
    "KeyReused": _error(
        "The Idempotency-Key came before with another body: `idempotency_key_reused`. Nothing was stored."
    ),
    "SubmissionUnavailable": _error(
        "Not now: `busy`, `overloaded` or `handler_unavailable`, and nothing was stored; `unavailable` or `internal`, "
        "and it is unknown whether it was stored. Sending it again with the same Idempotency-Key is safe.",
        **{"Retry-After": _RETRY_AFTER},
    ),
    "Unavailable": _error("Not now: `unavailable`, `busy` or `internal`.", **{"Retry-After": _RETRY_AFTER}),
    "NotReady": _error("`not_ready`, with the reasons in `errors`, or `busy`.", **{"Retry-After": _RETRY_AFTER}),
}
