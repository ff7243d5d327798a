"""What must hold in every state of the model; each judge gives the breach in words, or nothing."""

from __future__ import annotations

from collections.abc import Callable

from protocol_state import NAMES, Doc, Protocol, State, Worker

Judge = Callable[[Protocol, State], str]


def effect_once(protocol: Protocol, state: State) -> str:
    """An effect in the database happens once, and exactly with the change to `done`."""
    if protocol.transactional:
        for name, doc in zip(NAMES, state.docs, strict=False):
            if doc.effects > 1:
                return f"the effect of {name} happened {doc.effects} times"
            if (doc.state == "done") != (doc.effects == 1):
                return f"{name} is {doc.state}, with {doc.effects} effects"
    if protocol.same_request and all(doc.state != "new" for doc in state.docs):
        return "one request was stored twice"
    return ""


def no_stale_write(protocol: Protocol, state: State) -> str:
    """Whoever writes to a leased transaction holds it under that lease, and what it believes of it is true."""
    return state.wrong


def order_per_key(protocol: Protocol, state: State) -> str:
    """B is done only after A is over."""
    first, second = state.docs[0], state.docs[-1]
    if protocol.keyed and not protocol.racing and second.state == "done" and not is_over(protocol, first):
        return f"B is done, and A, accepted before it, is {first.state}"
    return ""


def no_overlap(protocol: Protocol, state: State) -> str:
    """With the alarm: one run at a time, of a transaction and of a key, and within a key in order."""
    if not protocol.alarm:
        return ""
    one, other = map(running, state.workers)
    if both := set(one) & set(other):
        return f"both workers run {NAMES[min(both)]}"
    if protocol.keyed and one and other:
        return "A and B, of one key, run at the same time"
    if protocol.keyed and not protocol.racing and any(_is_ahead(protocol, state.docs[0], w) for w in state.workers):
        return "B runs, and A, accepted before it, is not over"
    return ""


ALL: tuple[Judge, ...] = (effect_once, no_stale_write, order_per_key, no_overlap)


def is_end(protocol: Protocol, state: State) -> bool:
    """All have ended, or wait behind a dead one that blocks their key."""
    if protocol.same_request:
        return any(doc.state in {"done", "dead"} for doc in state.docs)
    ended = [doc.state in {"done", "dead"} for doc in state.docs]
    blocked = protocol.keyed and protocol.after_dead == "block" and state.docs[0].state == "dead"
    return all(ended) or (blocked and state.docs[-1].state == "queued")


def is_over(protocol: Protocol, doc: Doc) -> bool:
    """Whether a transaction no longer holds back the later ones of its key."""
    return doc.state == "done" or (doc.state == "dead" and protocol.after_dead == "skip")


def running(worker: Worker) -> tuple[int, ...]:
    """The transactions whose handlers a living worker is running, or has run in a session that is still open."""
    return worker.job.members if worker.alive and worker.job.at in {"run", "session", "session sent"} else ()


def _is_ahead(protocol: Protocol, first: Doc, worker: Worker) -> bool:
    """Whether a worker runs B alone, without having come to an end with A."""
    if running(worker) != (1,) or is_over(protocol, first):
        return False
    completes = (0, "completes") in worker.job.ended
    return not completes and not (protocol.after_dead == "skip" and any(t == 0 for t, _ in worker.job.ended))
