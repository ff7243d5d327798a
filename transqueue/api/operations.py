"""One description for each route and method: what it takes, and everything that it may answer.

A test holds this table and the application's routes to each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..access import Scope
from ..submission import SINGLE_BYTES
from .answers import JSON
from .body import NDJSON
from .gate import ALIVE
from .needs import OPEN, Need, needed
from .pauses import PAUSE_QUERY
from .schemas import query_parameters
from .shapes import ANY, ID, TEXT, Shape, listed, nullable, ref, shape, succeeded
from .submissions import BATCH_BYTES, BATCH_ITEMS
from .transactions import LIST_QUERY, STATUS_QUERY

HTML, CSS, PROMETHEUS = "text/html", "text/css", "text/plain"
GROUPS = ("Submit", "Follow", "Look around", "Probe", "Documentation")
SUBMIT, FOLLOW, LOOK, PROBE, READ = GROUPS

API_KEY = "ApiKey"  # the component that says how a key is sent
_AWAY: Mapping[int, str] = {503: "Unavailable"}
_LOCKED: Mapping[int, str] = {401: "Unauthorized", 403: "Forbidden", 429: "TooManyWrongKeys"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route and method.

    Attributes:
        success: what is answered when all is well, by media type.
        headers: what comes with a success.
        errors: names in `ERRORS`, by status.
        body: what is sent, by media type.
    """

    method: str
    path: str
    group: str
    summary: str
    success: Mapping[str, Shape]
    description: str = ""
    headers: Mapping[str, Any] | None = None
    errors: Mapping[int, str] = field(default_factory=lambda: _AWAY)
    parameters: Sequence[Any] = ()
    body: Mapping[str, Shape] | None = None

    @property
    def need(self) -> Need:
        """The scopes of which a key must have one."""
        found = needed(self.method.upper(), re.sub(r"{(\w+)}", r"<\1>", self.path))
        return OPEN if found is None else found

    def _scopes(self) -> str:
        scopes = " or ".join(f"`{scope}`" for scope in Scope if scope in self.need)
        return f"Needs the scope {scopes}." if scopes else ""

    def _errors(self) -> Mapping[int, str]:
        return self.errors if self.need == OPEN else {**_LOCKED, **self.errors}

    def described(self) -> dict[str, Any]:
        """As OpenAPI's operation object."""
        content = {kind: {"schema": schema} for kind, schema in self.success.items()}
        answer = {"description": "Success.", "content": content} | ({"headers": self.headers} if self.headers else {})
        found: dict[str, Any] = {
            "tags": [self.group],
            "summary": self.summary,
            "operationId": re.sub(r"\W+", "_", f"{self.method}{self.path}").strip("_"),
            "responses": {"200": answer} | {str(status): name for status, name in sorted(self._errors().items())},
            # While there are no keys, none is asked for: that is the empty alternative.
            "security": [{}, *({API_KEY: [str(scope)]} for scope in Scope if scope in self.need)],
        }
        if words := " ".join(filter(None, (self.description, self._scopes()))):
            found["description"] = words
        if self.parameters:
            found["parameters"] = list(self.parameters)
        if self.body:
            content = {kind: {"schema": schema} for kind, schema in self.body.items()}
            found["requestBody"] = {"required": True, "content": content}
        return found


_BODY = {411: "LengthRequired", 413: "TooLarge", 415: "UnsupportedMediaType", 503: "SubmissionUnavailable"}
_KEY = "IdempotencyKey"  # a component
_ONE = {"in": "path", "name": "transaction_id", "required": True, "schema": ID}
_NAMED = {"in": "path", "name": "type", "required": True, "schema": {**TEXT, "minLength": 1}}
_LOCATION = {"required": True, "schema": TEXT, "description": "Its status resource."}
_REPLAYED = {"schema": {"const": "true"}, "description": "It had been accepted before; nothing was stored now."}
_LINES = {"type": "string", "description": "One submission a line."}
_RESULT = {"oneOf": [ref(name) for name in ("AcceptedClassic", "AcceptedTyped", "Error", "ErrorClassic")]}

_SUBMISSIONS = (
    Operation(
        method="post",
        path="/api/data/",
        group=SUBMIT,
        summary="Submit one transaction, classic or typed.",
        description="Each answer of success means: it is journaled on a majority of the database's members. "
        f"The body has at most {SINGLE_BYTES // 1024} KiB.",
        parameters=[_KEY],
        body={JSON: ref("Submission")},
        success={JSON: {"oneOf": [ref("AcceptedClassic"), ref("AcceptedTyped")]}},
        headers={"Location": _LOCATION, "Idempotency-Replayed": _REPLAYED},
        errors={400: "InvalidSubmission", 422: "KeyReused", **_BODY},
    ),
    Operation(
        method="post",
        path="/api/data/batch",
        group=SUBMIT,
        summary=f"Submit up to {BATCH_ITEMS} transactions at once.",
        description="One result each, in order, shaped like a single answer: some may be accepted and others refused. "
        "The Idempotency-Key counts together with each one's position. "
        f"The body has at most {BATCH_BYTES // 1024} KiB, each submission in it at most {SINGLE_BYTES // 1024}.",
        parameters=[_KEY],
        body={JSON: ref("Batch"), NDJSON: _LINES},
        success={JSON: succeeded(shape({"results": listed(_RESULT)}), message=TEXT)},
        errors={400: "InvalidBatch", **_BODY},
    ),
)
_TRANSACTIONS = (
    Operation(
        method="get",
        path="/api/data/",
        group=FOLLOW,
        summary="Transactions that match, newest first.",
        description="Go on with `after` set to the answer's `next`, until that is null.",
        parameters=query_parameters(LIST_QUERY),
        success={JSON: succeeded(listed(ref("Transaction")), next=nullable(TEXT))},
        errors={400: "InvalidQuery", **_AWAY},
    ),
    Operation(
        method="get",
        path="/api/data/{transaction_id}",
        group=FOLLOW,
        summary="One transaction as it is now, or with `wait` when it has ended.",
        parameters=[_ONE, *query_parameters(STATUS_QUERY)],
        success={JSON: succeeded(ref("Transaction"))},
        errors={400: "InvalidQuery", 404: "NotFound", **_AWAY},
    ),
    Operation(
        method="get",
        path="/api/data/{transaction_id}/explain",
        group=FOLLOW,
        summary="Why it is not running, in plain words, and what would change that.",
        parameters=[_ONE],
        success={JSON: succeeded(ref("Explanation"))},
        errors={404: "NotFound", **_AWAY},
    ),
    Operation(
        method="post",
        path="/api/data/{transaction_id}/cancel",
        group=FOLLOW,
        summary="Cancel one that is queued or dead.",
        parameters=[_ONE],
        success={JSON: succeeded(ref("Transaction"), message=TEXT)},
        errors={404: "NotFound", 409: "WrongState", **_AWAY},
    ),
    Operation(
        method="post",
        path="/api/data/{transaction_id}/retry",
        group=FOLLOW,
        summary="Queue a dead one again, with as many attempts more as its handler grants.",
        parameters=[_ONE],
        success={JSON: succeeded(ref("Transaction"), message=TEXT)},
        errors={404: "NotFound", 409: "WrongState", **_AWAY},
    ),
)
_CATALOG = (
    Operation(
        method="get",
        path="/api/types",
        group=LOOK,
        summary="Every type that can be submitted.",
        success={JSON: succeeded(shape({"types": listed(ref("Type"))}))},
    ),
    Operation(
        method="get",
        path="/api/types/{type}",
        group=LOOK,
        summary="One type, also one of a claimed family.",
        parameters=[_NAMED],
        success={JSON: succeeded(ref("Type"))},
        errors={404: "NotFound", **_AWAY},
    ),
    Operation(
        method="post",
        path="/api/types/{type}/pause",
        group=LOOK,
        summary="Start no more of a type, or of a family that ends in `.*`, on any host.",
        description="All workers keep to it within a second. What is running ends; what waits keeps its place.",
        parameters=[_NAMED, *query_parameters(PAUSE_QUERY)],
        success={JSON: succeeded(ref("PausedType"), message=TEXT)},
        errors={400: "InvalidQuery", 404: "NotFound", 409: "WrongState", **_AWAY},
    ),
    Operation(
        method="post",
        path="/api/types/{type}/resume",
        group=LOOK,
        summary="Let a paused type go on.",
        parameters=[_NAMED],
        success={JSON: succeeded(ref("PausedType"), message=TEXT)},
        errors={409: "WrongState", **_AWAY},
    ),
    Operation(
        method="get",
        path="/api/plugins",
        group=LOOK,
        summary="Every plugin, how it is here and in each process; and what runs where, with its last reload.",
        success={
            JSON: succeeded(
                shape(
                    {
                        "plugins": listed(ref("Plugin")),
                        "processes": listed(ref("Process")),
                        "parts": listed(ref("Part")),
                    }
                )
            )
        },
    ),
    Operation(
        method="get",
        path="/api/workers",
        group=LOOK,
        summary="The worker processes that are alive, on every host.",
        success={JSON: succeeded(shape({"workers": listed(ref("Worker"))}))},
    ),
    Operation(
        method="get",
        path="/api/stats",
        group=LOOK,
        summary="How many transactions are in which state, by type, and which types are paused.",
        description="`types` is counted now, up to `counted_to` of each type and state: as large a number means so "
        "many or more. `depths` knows no bound; it is of when what waits was last counted, in the background.",
        success={JSON: succeeded(ref("Stats"))},
    ),
)
_PROBES = (
    Operation(
        method="get",
        path=ALIVE,
        group=PROBE,
        summary="The process is alive.",
        description="Asks neither the database nor anything else that could be stuck.",
        success={JSON: succeeded()},
        errors={},
    ),
    Operation(
        method="get",
        path="/readyz",
        group=PROBE,
        summary="Submissions can be accepted; else 503 with every reason why not.",
        success={JSON: succeeded()},
        errors={503: "NotReady"},
    ),
    Operation(
        method="get",
        path="/metrics",
        group=PROBE,
        summary="What is measured, of all processes and hosts, in Prometheus's text format.",
        success={PROMETHEUS: TEXT},
    ),
)
_DOCUMENTATION = (
    Operation(
        method="get",
        path="/openapi.json",
        group=READ,
        summary="This description, with every claimed type.",
        success={JSON: ANY},
    ),
    Operation(
        method="get",
        path="/docs",
        group=READ,
        summary="The same for people, as one page.",
        success={HTML: TEXT},
    ),
    Operation(
        method="get",
        path="/docs/style.css",
        group=READ,
        summary="How that page looks.",
        success={CSS: TEXT},
    ),
)

OPERATIONS: Sequence[Operation] = (*_SUBMISSIONS, *_TRANSACTIONS, *_CATALOG, *_PROBES, *_DOCUMENTATION)
