"""What the server does for a command that writes several transactions: one document after the other.

Leasing, settling and releasing outside a session are such commands. They go on when nobody waits for them any more.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocol_state import NAMES, NOBODY, Doc, Job, Late, Protocol, State

Step = tuple[str, State, bool]


class Commands:
    """The documents of a command, one by one, and its answer."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol

    def step(self, state: State, i: int, job: Job | Late) -> Iterator[Step]:
        """The next document of a command that writes several; one that an open session has written is waited for."""
        t = job.todo[0]
        if state.is_locked(t):
            return
        kind = job.at if isinstance(job, Job) else job.kind
        doc = self._changed(state, i, kind, t, job)
        what = "no longer matches" if doc is None else f"is {doc.state}"
        if doc is not None:
            state = _judged(state, t, i, job.token, kind).written(t, doc)
        says = f"{kind} of worker {i + 1}{'' if isinstance(job, Job) else ', late'}: {NAMES[t]} {what}"
        if isinstance(job, Late):
            left = (job._replace(todo=job.todo[1:]),) if job.todo[1:] else ()
            yield says, state._replace(late=(*(late for late in state.late if late != job), *left)), False
            return
        matched = (*job.matched, t) if doc is not None and kind.startswith("settle") else job.matched
        job = job._replace(todo=job.todo[1:], matched=matched)
        if job.todo:
            yield says, state.with_job(i, job), False
        elif kind == "release":
            yield says, finished(state, i), False
        elif kind == "lease":
            held = tuple(t for t in job.members if state.is_held(t, job.token))
            says += f"; it reads back: {names(held) or 'nothing'}"
            yield says, held_or_finished(state, i, Job("hold", job.token, rest=held)), False
        else:
            yield from self._settled(says, state, i, job)

    def _changed(self, state: State, i: int, kind: str, t: int, job: Job | Late) -> Doc | None:
        doc = state.docs[t]
        if kind == "lease":
            free = doc.state == "queued" or (doc.state == "running" and not self.protocol.take_queued)
            return doc._replace(state="running", token=job.token, worker=i) if free else None
        if not self.matches(doc, i, job.token):
            return None
        if kind == "release":
            return doc._replace(state="queued", token=0, worker=NOBODY)
        return self.settled(doc, dict(job.ended)[t], job.token)

    def matches(self, doc: Doc, i: int, token: int) -> bool:
        fence = self.protocol.fence
        if fence == "none":
            return True
        mine = {"running": True, "worker": doc.worker == i}.get(fence, doc.token == token)
        return doc.state == "running" and mine

    def settled(self, doc: Doc, outcome: str, token: int) -> Doc:
        """A transaction after its attempt ended."""
        gone = doc._replace(token=0, worker=NOBODY, by=token, alone=False)
        if outcome == "completes":
            return gone._replace(state="done", attempts=0, crashes=0)
        if doc.attempts + 1 >= self.protocol.max_attempts:
            return gone._replace(state="dead", attempts=0, crashes=0)
        return gone._replace(state="queued", attempts=doc.attempts + 1)

    def _settled(self, says: str, state: State, i: int, job: Job) -> Iterator[Step]:
        """The last document of a settlement is done: the answer comes, or is lost."""
        again = state.with_job(i, settling(job, again=True))
        yield f"{says}; the answer is lost, it asks again", again, True
        ids = tuple(t for t, _ in job.ended)
        if len(job.matched) == len(ids) or (job.at == "settle again" and not self.protocol.read_back):
            mine = ids
        else:
            mine = tuple(t for t in ids if state.docs[t].by == job.token)
            says += f"; it reads back: its own are {names(mine) or 'none'}"
        if any(state.docs[t].by != job.token and t not in job.matched for t in mine):
            state = state._replace(wrong=f"worker {i + 1} takes a settlement as written that was not")
        lost = len(mine) < len(ids) and self.protocol.keyed
        held = Job("hold", job.token, rest=job.rest, blocked=job.blocked or lost)
        yield says, held_or_finished(state, i, held), False


def names(ids: tuple[int, ...]) -> str:
    """A and B."""
    return " and ".join(NAMES[t] for t in ids)


def settling(job: Job, *, again: bool = False) -> Job:
    ids = tuple(t for t, _ in job.ended)
    return job._replace(at="settle again" if again else "settle", todo=ids, matched=(), members=())


def _judged(state: State, t: int, i: int, token: int, kind: str) -> State:
    """Whoever settles or releases must hold the transaction under the very lease it acts for."""
    if kind == "lease" or state.is_held(t, token):
        return state
    return state._replace(wrong=f"worker {i + 1} wrote {NAMES[t]} under a lease that is over")


def held_or_finished(state: State, i: int, job: Job) -> State:
    return state.with_job(i, job) if job.rest else finished(state, i)


def finished(state: State, i: int) -> State:
    return without_memory(state, state.workers[i].job.token).with_job(i, Job())


def without_memory(state: State, token: int) -> State:
    """`by` matters only to the one that reads it back: the worker at work under that token."""
    for t, doc in enumerate(state.docs):
        if token and doc.by == token:
            state = state.with_ghost(t, doc._replace(by=0))
    return state


def as_late(job: Job, i: int) -> Late:
    kind = "settle" if job.at == "settle again" else job.at
    return Late(kind, job.token, i, job.todo, job.ended)
