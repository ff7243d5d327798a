"""Everything that can go wrong, by name.

One base class; the docstring of a class is its default message. An error says what happened, carries the facts as
attributes, and, where there is one, the cure. Errors that handlers raise to say how an attempt ends are not failures:
they live in `outcome`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import extract_tb
from typing import Any

PLACES_TOLD = 6


class TransQueueError(Exception):
    """TransQueue could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross process borders whole, whatever their constructors take."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[TransQueueError], arguments: tuple[Any, ...], facts: dict[str, Any]) -> TransQueueError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(facts)
    return error


def where(error: BaseException) -> str:
    """What kind of error it is and where it was raised, without its words: those may hold a submitter's data."""
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)]
    return " < ".join([type(error).__name__, *reversed(places[-PLACES_TOLD:])])


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a configuration file: where (1-based line and column, 0 when unknown), which key, and what."""

    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.line}:{self.column}: " if self.line else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class ConfigInvalid(TransQueueError):
    """The configuration is not valid."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(f"{file}:{problem}" for problem in self.problems))


class PluginBroken(TransQueueError):
    """An enabled plugin cannot be used; `problems` are the mistakes in its section of the configuration, if any."""

    def __init__(self, name: str, phase: str, reason: str, cure: str, *, problems: Sequence[Problem] = ()) -> None:
        self.name, self.phase, self.reason, self.cure = name, phase, reason, cure
        self.problems = tuple(sorted(problems))
        super().__init__(f"plugin {name!r} is broken ({phase}): {reason}. {cure}")

    def shown(self, masked: Callable[[str], str]) -> PluginBroken:
        """The same with its reason masked: an exception's words may hold a secret."""
        problems = [replace(problem, message=masked(problem.message)) for problem in self.problems]
        return PluginBroken(self.name, self.phase, masked(self.reason), self.cure, problems=problems)


class ClaimConflict(TransQueueError):
    """Two plugins claim one transaction type."""


class TopologyRefused(TransQueueError):
    """This MongoDB cannot keep the promises: the queue needs a replica set that journals on a majority."""


class SessionKept(TransQueueError):
    """A handler cannot end its session itself: it is committed when the handler returns, discarded when it raises."""


class MongodNotStarted(TransQueueError):
    """The private mongod could not be started."""

    def __init__(self, cause: str, cure: str) -> None:
        self.cause, self.cure = cause, cure
        super().__init__(f"{cause}\n{cure}")


class KeysMissing(TransQueueError):
    """The API would be open to everybody who can reach it."""

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"api.host is {host}, which others can reach, and there is no API key: the API would be open to everybody. "
            "Make a key with `transqueue keys create SUBMITTER`, or set api.host to 127.0.0.1 in config.yaml"
        )


class NotAllowed(TransQueueError):
    """The door does not let this client in: it showed no API key, or one that is not good for what it asks."""


class AddressTaken(TransQueueError):
    """The API cannot listen on its address."""


class ReloadRefused(TransQueueError):
    """The configuration was not put to use; what ran before goes on."""


class QueueUnavailable(TransQueueError):
    """The database did not answer in time; the outcome of what was asked is unknown."""


class Unstorable(TransQueueError):
    """This transaction cannot be stored; nothing of it was."""


class TrackLost(TransQueueError):
    """A worker cannot know what it holds any more, so it gives up its lease and starts again."""


class SubmissionRefused(TransQueueError):
    """The submission was refused; nothing was stored.

    Attributes:
        status: the HTTP status that fits.
        code: a stable word for programs.
        errors: messages by dotted path into the body, for field errors.
        retry_after_seconds: when trying again makes sense.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        errors: Mapping[str, Sequence[str]] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        self.status, self.code, self.message = status, code, message
        self.errors = {path: list(messages) for path, messages in (errors or {}).items()}
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)
