"""Why a transaction is not running, in plain words, and what would change that.

Pure: whoever keeps the queue gathers the circumstances, and every page, answer and command tells the same of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from ..transaction import State, Transaction
from .pause import Pause

OUTLINE = {
    "type_paused": "Its type is paused.",
    "parked": "Its type is not processed at the moment.",
    "behind": "It waits for an earlier one of its ordering key.",
    "running": "It is in the hands of a worker.",
}
POSITION_LIMIT = 1000  # how many ahead of it are counted


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps it from running, or what it is doing.

    Attributes:
        code: a stable word for programs.
        sentence: for people.
        change: what would change it; empty when nothing needs to.
    """

    code: str
    sentence: str
    change: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The summary is the first reason's sentence: the one to do something about first."""

    transaction_id: str
    summary: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """The first transaction of the same ordering key, which holds it back."""

    id: str
    type: str
    state: State
    due_at: datetime
    pause: tuple[str, Pause] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The worker that a running transaction is leased to; `live`: its lease is held."""

    id: str
    host: str = ""
    pid: int = 0
    live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Everything that an explanation needs to know.

    Attributes:
        transaction: none when it is stored in a format that this version does not read.
        version: of the stored format.
        pause: what is said of its type, and of what.
        workers: how many are alive.
        able: how many of them have a handler of its type; none when they do not say.
        parked: why no handler works here, as the caller knows it.
        position: how many due ones of its type (or lane, with an ordering key) go before it, counted up to a limit.
    """

    id: str
    now: datetime
    transaction: Transaction | None
    version: int = 1
    pause: tuple[str, Pause] | None = None
    workers: int = 0
    able: int | None = None
    parked: str | None = None
    ahead: Ahead | None = None
    holder: Holder | None = None
    position: int | None = None


def explain(found: Circumstances) -> Explanation:
    """Why it does not run now, or what it does instead; always at least one reason."""
    reasons = tuple(_reasons(found))
    return Explanation(found.id, reasons[0].sentence, reasons)


def outlined(explanation: Explanation) -> Explanation:
    """The same in outline, for those who may not know of others' transactions, plugins or operators."""
    reasons = tuple(Reason(one.code, OUTLINE.get(one.code, one.sentence)) for one in explanation.reasons)
    return Explanation(explanation.transaction_id, reasons[0].sentence, reasons)


def _reasons(found: Circumstances) -> Iterator[Reason]:
    if found.transaction is None:
        yield Reason(
            "newer_format",
            f"It is stored in format {found.version}, which is newer than this version of TransQueue reads.",
            "Upgrade TransQueue here; hosts with the newer version process it.",
        )
    elif found.transaction.state is State.QUEUED:
        yield from _waiting(found, found.transaction)
    elif found.transaction.state is State.RUNNING:
        yield _running(found, found.transaction)
    else:
        yield _ended(found.transaction)


def _waiting(found: Circumstances, one: Transaction) -> Iterator[Reason]:
    blocked = [*_paused(found, one), *_handled(found, one), *_behind(found), *_due(found, one)]
    yield from blocked
    if one.alone:
        sentence = "It was in a group whose worker died, so it runs by itself next, to tell whose fault that was."
        yield Reason("alone", sentence)
    if not blocked:
        yield _turn(found, one)


def _paused(found: Circumstances, one: Transaction) -> Iterator[Reason]:
    if found.pause:
        name, pause = found.pause
        what = f"The type {one.type}" if name == one.type else f"The family {name}, and so the type {one.type},"
        because = f": {pause.reason}" if pause.reason else ""
        sentence = f"{what} was paused by {pause.by} at {told(pause.at)}{because}."
        yield Reason("type_paused", sentence, f"Resume it: transqueue resume '{name}'.")


def _handled(found: Circumstances, one: Transaction) -> Iterator[Reason]:
    if not found.workers:
        yield Reason("no_worker", "No worker is alive, on any host.", "Start some: `transqueue up`, or `work`.")
    elif found.able == 0:
        because = found.parked or "no enabled plugin claims it, or the one that does is not working there"
        yield Reason(
            "parked",
            f"It is parked: no live worker has a handler of the type {one.type}: {because}",
            "`transqueue plugins` tells how the plugins are; once one processes the type, it goes on by itself.",
        )
    elif found.parked and found.able is None:
        change = "`transqueue plugins` tells the cure."
        yield Reason("parked", f"It is parked here: {found.parked}", change)


def _behind(found: Circumstances) -> Iterator[Reason]:
    ahead, one = found.ahead, found.transaction
    if ahead is None or one is None:
        return
    begin = f"It waits behind {ahead.id} of its ordering key {one.ordering_key!r}, which"
    if ahead.state is State.DEAD:
        change = f"Retry that one, or cancel it to let its key go on: transqueue retry {ahead.id}."
        yield Reason("behind", f"{begin} is dead and blocks its key.", change)
    elif ahead.state is State.RUNNING:
        yield Reason("behind", f"{begin} is running.", "It goes on when that one has ended.")
    elif ahead.pause:
        name, pause = ahead.pause
        change = f"Resume it: transqueue resume '{name}'."
        yield Reason("behind", f"{begin} is of a type that {pause.by} paused, {name}.", change)
    elif ahead.due_at > found.now:
        change = f"It goes on when that one has ended; cancelling it lets its key go on: transqueue cancel {ahead.id}."
        yield Reason("behind", f"{begin} is to be tried again at {told(ahead.due_at)}.", change)
    else:
        yield Reason("behind", f"{begin} waits too.", f"See why: transqueue explain {ahead.id}.")


def _due(found: Circumstances, one: Transaction) -> Iterator[Reason]:
    if one.due_at <= found.now:
        return
    left = f"in {_span((one.due_at - found.now).total_seconds())}"
    if one.deferred_since or one.attempts:
        error = f" ({one.error['type']}: {one.error['message']})" if one.error else ""
        tried = (
            f"attempt {one.attempts} failed" if one.attempts and not one.deferred_since else "its handler said later"
        )
        sentence = f"It is to be tried again at {told(one.due_at)}, {left}: {tried}{error}."
    else:
        sentence = f"It is to start at {told(one.due_at)}, {left}, as its submitter asked."
    yield Reason("not_due", sentence, "Nothing needs to be done; it starts by itself.")


def _turn(found: Circumstances, one: Transaction) -> Reason:
    if not found.position:
        return Reason("turn", "It is due, and next: a worker takes it within moments.")
    count = f"at least {found.position}" if found.position >= POSITION_LIMIT else str(found.position)
    where = "in its lane" if one.ordering_key is not None else f"of the type {one.type}"
    sentence = f"Its turn has not come: about {count} due ones {where} go before it."
    return Reason("turn", sentence, "More workers make it sooner: workers.processes, or another host.")


def _running(found: Circumstances, one: Transaction) -> Reason:
    lease, holder = one.lease, found.holder
    since = f" since {told(lease.at)}" if lease and lease.at else ""
    if holder is None or not holder.live:
        sentence = f"It is leased{since} to a worker whose own lease has ended."
        return Reason("rescue", sentence, "It is put back within seconds; nothing needs to be done.")
    where = f"the worker with pid {holder.pid} on {holder.host}"
    return Reason("running", f"It is in the hands of {where}{since}, for attempt {one.attempt}.")


def _ended(one: Transaction) -> Reason:
    at = f" at {told(one.finished_at)}" if one.finished_at else ""
    error = f": {one.error['type']}: {one.error['message']}" if one.error else ""
    if one.state is State.DEAD:
        holds = " It holds back its ordering key." if one.ordering_key and one.after_dead == "block" else ""
        sentence = f"It is dead{at}, after {one.attempts} of {one.max_attempts} attempts{error}.{holds}"
        cure = f"Mend the cause, then: transqueue retry {one.id}; or give it up: transqueue cancel {one.id}."
        return Reason("dead", sentence, cure)
    if one.state is State.REJECTED:
        return Reason("rejected", f"Its handler rejected it{at}{error}.", "That is final; submit another one.")
    return Reason(str(one.state), f"It is {one.state}{at}.")


def told(moment: datetime) -> str:
    """A time for people, to the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _span(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1.0, seconds):.0f} s"
