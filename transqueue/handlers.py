"""Handlers: what processes one transaction type, and how an author declares it.

`@handler("type", ...)` marks a function, or a class, and leaves it as it is; the mark is a frozen `Handler`. The loader
turns marks into the hook `transqueue_handlers`, stamps the plugin's name on them, and the admin's overrides replace
fields. `Context` is what a handler is given besides its transaction.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Literal, TypeVar, cast

from marshmallow import Schema

MARK = "__transqueue_handlers__"
TYPE_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*(\.\*)?")
TYPE_LENGTH = 128

Target = TypeVar("Target", bound=Callable[..., Any])
OrderingKey = str | Callable[[Any], str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One claim of one transaction type, with everything that decides how its transactions are processed.

    Attributes:
        type: the type, or a family that ends in `.*`.
        target: the function `(transaction, context)`, or the class made once per worker with `(config)`.
        schema: the Marshmallow schema of `data`; none takes any JSON object.
        max_attempts: how many charged attempts before `dead`.
        backoff_seconds: the first and the longest wait between attempts.
        timeout_seconds: for one attempt; after it the worker is ended.
        transactional: what it writes through `context.db` commits together with the completion, or not at all.
        ordering_key: a dotted path in data, or a function of data; transactions of one key run in order.
        after_dead: what a dead transaction does to the later ones of its key.
        batch: called with a group of transactions instead of one.
        plugin, distribution, version: who claims it; the loader fills these in.
        fingerprint: a short mark of what the schema takes, from the loader too.
    """

    type: str
    target: Callable[..., Any]
    schema: Schema | None = None
    max_attempts: int = 8
    backoff_seconds: tuple[float, float] = (2.0, 300.0)
    timeout_seconds: float = 60.0
    transactional: bool = False
    ordering_key: OrderingKey = None
    after_dead: Literal["block", "skip"] = "block"
    batch: bool = False
    plugin: str = ""
    distribution: str = ""
    version: str = ""
    fingerprint: str = ""

    @property
    def summary(self) -> str:
        """The first line of the target's docstring."""
        return (inspect.getdoc(self.target) or "").partition("\n")[0]

    @property
    def is_family(self) -> bool:
        """Whether it claims every type below a prefix."""
        return self.type.endswith(".*")

    @property
    def is_async(self) -> bool:
        """Whether it is `async def`, so that many attempts are in flight at once."""
        return any(map(inspect.iscoroutinefunction, (self.target, getattr(self.target, "__call__", None))))  # noqa: B004

    def callable(self, config: Any) -> Callable[..., Any]:
        """What is called for each attempt: the function itself, or one object of the class, made now."""
        return cast("Any", self.target)(config) if inspect.isclass(self.target) else self.target

    def overridden(self, **fields: Any) -> Handler:
        """A copy with some fields replaced, checked again.

        Raises:
            ValueError: a value is out of its range.
        """
        changed = replace(self, **fields)
        _check(changed)
        return changed


def handler(
    type: str,
    *,
    schema: type[Schema] | Schema | None = None,
    max_attempts: int = 8,
    backoff_seconds: tuple[float, float] = (2, 300),
    timeout_seconds: float = 60,
    transactional: bool = False,
    ordering_key: OrderingKey = None,
    after_dead: Literal["block", "skip"] = "block",
    batch: bool = False,
) -> Callable[[Target], Target]:
    """Mark a function or class as the handler of a transaction type. It may be marked for several types.

    An `async def` function, or a class whose `__call__` is one, is for work that waits on the network: hundreds of its
    attempts are in flight in one worker, each cancelled at its own time limit. It is neither transactional nor batch.

    Raises:
        ValueError: an option is out of its range, or the type is not well formed.
    """

    def mark(target: Target) -> Target:
        marked = Handler(
            type=type,
            target=target,
            schema=schema() if inspect.isclass(schema) else schema,
            max_attempts=max_attempts,
            backoff_seconds=(float(backoff_seconds[0]), float(backoff_seconds[1])),
            timeout_seconds=float(timeout_seconds),
            transactional=transactional,
            ordering_key=ordering_key,
            after_dead=after_dead,
            batch=batch,
        )
        _check(marked)
        setattr(target, MARK, (*target.__dict__.get(MARK, ()), marked))
        return target

    return mark


def marks(target: object) -> tuple[Handler, ...]:
    """The handlers that an object was marked as, none for any other object."""
    found = getattr(target, "__dict__", {}).get(MARK, ())
    return found if isinstance(found, tuple) else ()


def _check(candidate: Handler) -> None:
    problems = [message for well, message in _rules(candidate) if not well]
    if problems:
        raise ValueError(f"handler {candidate.type!r}: {'; '.join(problems)}")


def _rules(candidate: Handler) -> list[tuple[bool, str]]:
    first, longest = candidate.backoff_seconds
    name = candidate.type
    return [
        (
            isinstance(name, str) and len(name) <= TYPE_LENGTH and TYPE_PATTERN.fullmatch(name) is not None,
            "a type is letters, digits, '_' and '-', in parts joined by dots, and may end in '.*'",
        ),
        (callable(candidate.target), "its target cannot be called"),
        (candidate.schema is None or isinstance(candidate.schema, Schema), "schema must be a marshmallow Schema"),
        (1 <= candidate.max_attempts <= 1000, "max_attempts must be from 1 to 1000"),
        (0 < first <= longest <= 86_400, "backoff_seconds must be (first, longest), 0 < first <= longest <= 86400"),
        (0 < candidate.timeout_seconds <= 86_400, "timeout_seconds must be more than 0 and at most 86400"),
        (
            not (candidate.is_async and (candidate.transactional or candidate.batch)),
            "an async handler can be neither transactional nor batch: those run one at a time; declare it with def",
        ),
        (candidate.after_dead in ("block", "skip"), "after_dead must be 'block' or 'skip'"),
    ]


class NoDatabase(RuntimeError):
    """`context.db` is for transactional handlers only."""


@dataclass(slots=True, kw_only=True)
class Context:
    """What a handler has besides its transaction.

    Attributes:
        config: the plugin's own validated section.
        deadline: the monotonic time (`time.monotonic`) at which the attempt is ended.
        facts: tells what is on each line that is logged of the attempt.
    """

    config: Mapping[str, Any]
    deadline: float
    facts: Callable[[], Mapping[str, Any]] = dict
    _db: Any = None
    _new: Callable[[str, Mapping[str, Any], Mapping[str, Any]], Any] | None = None
    _enqueued: list[Any] = field(default_factory=list)
    _log: Any = None

    @property
    def log(self) -> Any:
        """A structlog logger bound to the transaction."""
        if self._log is None:
            structlog = import_module("structlog")  # slow, and few handlers log: only where it is used
            self._log = structlog.get_logger("transqueue.handler", **self.facts())
        return self._log

    @property
    def db(self) -> Any:
        """PyMongo's database; what is written through it commits together with the completion.

        Raises:
            NoDatabase: the handler is not declared `transactional=True`.
        """
        if self._db is None:
            raise NoDatabase(
                "context.db is for transactional handlers: declare @handler(..., transactional=True), "
                "so that what you write commits together with the completion"
            )
        return self._db

    def enqueue(self, type: str, data: Mapping[str, Any], **options: Any) -> str:
        """Enqueue a follow-up, written together with this attempt's completion; nothing is written when it fails.

        Returns:
            The id that the follow-up will have.

        Raises:
            SubmissionRefused: no enabled plugin claims the type, or its schema refuses the data or the options.
        """
        if self._new is None:
            raise RuntimeError("this context cannot enqueue")
        follow_up = self._new(type, data, options)
        self._enqueued.append(follow_up)
        return str(follow_up.id)

    @property
    def follow_ups(self) -> tuple[Any, ...]:
        """What was enqueued so far, in order."""
        return tuple(self._enqueued)
