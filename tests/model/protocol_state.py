"""What the model of the queue's protocol knows at one moment: plain values, compared and hashed as a whole.

Empty tuples stand for "none", so that any two states can be ordered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

NAMES = "AB"
NOBODY = -1
UNKNOWN, IDLE_MARK, GROUP_MARK = -3, -2, -1  # a casualty; from 0 on: the transaction that was running


@dataclass(frozen=True)
class Protocol:
    """The case that is searched, and what is broken in it on purpose.

    Attributes:
        transactional: effects commit in the session that settles; otherwise handlers act outside, then settle.
        keyed: A and B share an ordering key, A accepted first; otherwise they have none.
        racing: (keyed) both are sent at once: A has the earlier stamp, and may become visible after B.
        same_request: A and B are one request, sent twice because its answer was lost.
        alarm: the kernel kills a worker before its lease can lapse.
        alone: what a group that died together held next runs alone; otherwise it is only released.
        lapsed_apart: a lease lapses in a step of its own; otherwise together with the step that ends it.
        late: at most this many commands go on in the server after their sender died or stopped waiting.
        limit: at most this many are leased together.
        server_ends: the server ends sessions that stay open for too long.

        unique: an idempotency key is stored once.
        fence: what a settlement matches: `write` (as it should be: the token, in a write), `read` (the token, only
            read), `none` (the id), `running` (any lease), `worker` (any lease of this worker).
        kill: a rescue kills the sessions of the worker.
        end_first: a rescue ends the worker's document before it puts anything back.
        renew_lapsed: a lapsed lease can be renewed.
        lane: a keyed lease writes the lane's document.
        read_back: after a lost answer the worker reads what became of its settlements.
        drop_later: after one of a key is lost or retried, its later ones go back.
        take_queued: a lease takes only what is still queued.
        charge_by_token: the charge for a crash matches the lease's token, not only its worker.
        rescue_ended: what an ended worker still holds is rescued, not only what a lapsed one holds.

        apart: (keyed) a settlement is written before the next one of its key is run.
        alone_in_key: (keyed) nothing is leased while anything of its key runs, earlier or later.
    """

    transactional: bool = True
    keyed: bool = False
    racing: bool = False
    alarm: bool = False
    alone: bool = False
    lapsed_apart: bool = False
    late: int = 1
    limit: int = 2
    after_dead: str = "block"
    max_attempts: int = 2
    max_crashes: int = 1

    same_request: bool = False
    server_ends: bool = True

    unique: bool = True
    fence: str = "write"
    kill: bool = True
    end_first: bool = True
    renew_lapsed: bool = False
    lane: bool = True
    read_back: bool = True
    drop_later: bool = True
    take_queued: bool = True
    charge_by_token: bool = True
    rescue_ended: bool = True

    apart: bool = True
    alone_in_key: bool = True


class Doc(NamedTuple):
    """One transaction in Q: `by` is the token that settled it; `effects` counts what happened and is no field of Q."""

    state: str = "new"
    token: int = 0
    worker: int = NOBODY
    by: int = 0
    attempts: int = 0
    crashes: int = 0
    alone: bool = False
    effects: int = 0


class Session(NamedTuple):
    """A worker's open session.

    `held`: the snapshot shows all members under the token. `stale`: one of them was written since the snapshot.
    """

    kind: str
    token: int
    members: tuple[int, ...]
    held: bool = True
    stale: bool = False
    written: bool = False
    sent: bool = False


class Job(NamedTuple):
    """What a worker is doing. `todo` is what is left of a command in the server; `ended` pairs ids with outcomes."""

    at: str = "idle"
    token: int = 0
    todo: tuple[int, ...] = ()
    members: tuple[int, ...] = ()
    ended: tuple[tuple[int, str], ...] = ()
    matched: tuple[int, ...] = ()
    rest: tuple[int, ...] = ()
    blocked: bool = False


class Worker(NamedTuple):
    """A worker: its document's lease, its process, what its supervisor read off the marker, session and job."""

    lease: str = "live"
    alive: bool = True
    casualty: int = UNKNOWN
    session: Session | tuple[()] = ()
    job: Job = Job()


class Late(NamedTuple):
    """A command that goes on in the server although nobody waits for it."""

    kind: str
    token: int
    worker: int
    todo: tuple[int, ...]
    ended: tuple[tuple[int, str], ...] = ()


class Helper(NamedTuple):
    """A supervisor at work on an ended or lapsed worker; rows: transaction, token, whether it is charged."""

    worker: int
    at: str
    rows: tuple[tuple[int, int, bool], ...] = ()


class State(NamedTuple):
    """Everything. `wrong` remembers a write by somebody who had no right to it."""

    docs: tuple[Doc, ...]
    workers: tuple[Worker, ...]
    late: tuple[Late, ...] = ()
    owner: Helper | tuple[()] = ()
    other: Helper | tuple[()] = ()
    wrong: str = ""

    def with_worker(self, i: int, worker: Worker) -> State:
        """With another worker `i`."""
        one, other = self.workers
        return State(self.docs, (worker, other) if i == 0 else (one, worker), *self[2:])

    def with_job(self, i: int, job: Job) -> State:
        """With worker `i` at another job; its session stays."""
        return self.with_worker(i, Worker(*self.workers[i][:4], job))

    def with_ghost(self, t: int, doc: Doc) -> State:
        """With something noted on a transaction that is not in the database."""
        return State((*self.docs[:t], doc, *self.docs[t + 1 :]), *self[1:])

    def written(self, t: int, doc: Doc) -> State:
        """After a committed write: open snapshots that have this transaction are older than it."""
        state = self.with_ghost(t, doc)
        for i, worker in enumerate(self.workers):
            session = worker.session
            if session and t in session.members and not session.written and not session.stale:
                state = state.with_worker(i, worker._replace(session=session._replace(stale=True)))
        return state

    def is_locked(self, t: int, but: int = NOBODY) -> bool:
        """Whether an open session, other than that of worker `but`, has written the transaction."""
        return any(
            worker.session and worker.session.written and t in worker.session.members
            for i, worker in enumerate(self.workers)
            if i != but
        )

    def is_held(self, t: int, token: int) -> bool:
        """The fence."""
        return self.docs[t].state == "running" and self.docs[t].token == token

    def fresh_token(self) -> int:
        """The smallest token that nothing remembers."""
        used = set(self.tokens())
        return next(token for token in range(1, 20) if token not in used)

    def tokens(self) -> list[int]:
        """Every token that anything remembers, in a fixed order."""
        found = [token for doc in self.docs for token in (doc.token, doc.by)]
        for worker in self.workers:
            found.append(worker.job.token)
            if worker.session:
                found.append(worker.session.token)
        found += [late.token for late in self.late]
        return found + [row[1] for helper in (self.owner, self.other) if helper for row in helper.rows]
