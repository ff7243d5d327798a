"""An exhaustive model of how transactions are enqueued, leased, run, settled and rescued.

Two workers and two transactions (or one), every interleaving. One step is one command to the database, one document of
a command that writes several, one end of a session, or one thing that happens to a process.

Modelled, after `transqueue.mongodb` and `transqueue.batch`:
- enqueue, in the order accepted for one key, or with stamps that overtake each other; the same request sent twice;
- the worker's document: live, lapsed, ended; ending is final and comes first. Renewing is the absence of a lapse;
- a lease without a key: candidates are read, then taken document by document under one token, then read back;
- a lease on a key: a session that writes the lane, chooses from its snapshot (`order.choose`) and commits;
- handlers that complete or fail; those of one lease run one after the other, or share a session, any first few of them;
- settling in a session: its snapshot is taken when it opens, then the effects, the fence as a write, the commit. A
  document written since the snapshot, or by another open session, is a write conflict, and all starts over;
- settling outside: document by document behind the fence; the answer comes or is lost, the worker asks again, while
  the first command may still be under way, and reads back what is its own;
- writes outside a session wait for an open session that has written the document;
- pauses: a worker that takes no step for long. Its lease lapses, it is rescued, and it wakes up and goes on;
- death at any moment, with the commit or the command already in the server, or not. What the marker says is charged by
  the worker's own supervisor, which may die too; a worker that lost track, or met its alarm, is charged nothing;
- rescue by any other supervisor, both at once, in steps: end the document; kill the sessions and read what it holds;
  put back, document by document, charged or not. Either may stop anywhere and begin again;
- sessions ended by the server at any moment: open for too long, or an election;
- after one of a key was lost or retried, the later ones of it are given back.

Left out, and why: time-outs and backoff (waiting is taking no step); priorities and lanes without order (they choose,
they do not protect); the rows that an ordered lease sets aside (that only saves reads); follow-ups and groups
(`batch=True`), which settle like a shared session; cancel, redrive and pause; a loss of majority-committed writes. An
answer that is lost after a lease or a commit is a death just after it (`TrackLost`) or a successful read-back. The
five seconds for which others leave an ended worker to its own supervisor: here they never wait. A dead worker that
nothing refers to is replaced at once; more than two workers, and more late commands than one, are not tried.
"""

from __future__ import annotations

from collections.abc import Iterator

from database_commands import Step, held_or_finished
from protocol_state import (
    IDLE_MARK,
    NAMES,
    Doc,
    Job,
    Protocol,
    Session,
    State,
    Worker,
)
from supervisor_steps import SupervisorSteps, may_lapse
from worker_steps import WorkerSteps


class Model:
    """All steps of one case of the protocol, and what must hold in every state."""

    def __init__(self, protocol: Protocol, transactions: int = 2) -> None:
        self.protocol, self.start = protocol, State((Doc(),) * transactions, (Worker(), Worker()))
        self._worker, self._supervisor = WorkerSteps(protocol), SupervisorSteps(protocol)

    def steps(self, state: State) -> Iterator[Step]:
        """Everything that can happen next."""
        for says, after, is_fault in self._steps(state):
            one, other = after.workers
            yield says, after if one.alive and other.alive else _tidied(after), is_fault

    def _steps(self, state: State) -> Iterator[Step]:
        yield from self._enqueues(state)
        for i, worker in enumerate(state.workers):
            yield from self._worker.of(state, i)
            yield from self._time(state, i, worker)
            if worker.session:
                yield from self._server(state, i, worker, worker.session)
        for late in state.late:
            yield from self._worker.commands.step(state, late.worker, late)
        yield from self._supervisor.owner(state)
        yield from self._supervisor.other(state)

    def _enqueues(self, state: State) -> Iterator[Step]:
        for t, doc in enumerate(state.docs):
            if doc.state != "new":
                continue
            if self.protocol.same_request and self.protocol.unique and any(one.state != "new" for one in state.docs):
                return  # its idempotency key is known: the submitter gets the first one's receipt
            yield f"{NAMES[t]} is stored", state.written(t, doc._replace(state="queued")), False
            if self.protocol.keyed and not self.protocol.racing:
                return

    # Time and the server

    def _time(self, state: State, i: int, worker: Worker) -> Iterator[Step]:
        if not self.protocol.lapsed_apart:
            return
        if worker.lease == "live" and may_lapse(self.protocol, worker):
            says = f"the lease of worker {i + 1} lapses"
            yield says, state.with_worker(i, worker._replace(lease="lapsed")), worker.alive
        if worker.lease == "lapsed" and self.protocol.renew_lapsed:
            yield f"the lease of worker {i + 1} is renewed", state.with_worker(i, worker._replace(lease="live")), True

    def _server(self, state: State, i: int, worker: Worker, session: Session) -> Iterator[Step]:
        if session.sent:
            yield f"the session of worker {i + 1} is committed", self._landed(state, i, worker, session), False
        if self.protocol.server_ends:
            says = f"the server ends the session of worker {i + 1} (open for too long, or a new primary)"
            yield says, state.with_worker(i, worker._replace(session=())), worker.alive

    def _landed(self, state: State, i: int, worker: Worker, session: Session) -> State:
        state = state.with_worker(i, worker._replace(session=()))
        for t in session.members:
            doc = state.docs[t]
            if session.kind == "lease":
                state = state.written(t, doc._replace(state="running", token=session.token, worker=i))
                continue
            held = state.is_held(t, session.token)
            if not held:
                state = state._replace(wrong=f"worker {i + 1} committed {NAMES[t]} under a lease that is over")
            if held or self.protocol.fence != "read":
                doc = self._worker.commands.settled(doc, "completes", 0)
            state = state.written(t, doc._replace(effects=doc.effects + 1))
        if not worker.alive:
            return state
        job = worker.job
        rest = session.members if session.kind == "lease" else job.rest
        return held_or_finished(state, i, Job("hold", job.token, rest=rest, blocked=job.blocked))


def _tidied(state: State) -> State:
    """A dead worker that nothing refers to any more is replaced by a new one."""
    for i, worker in enumerate(state.workers):
        if not worker.alive:
            state = _without_leftovers(state, i, worker)
    return state


def _without_leftovers(state: State, i: int, worker: Worker) -> State:
    if worker.session and worker.session.kind == "settle" and not (worker.session.written or worker.session.sent):
        worker = worker._replace(session=())  # it wrote nothing in Q, and nobody will commit it
        state = state.with_worker(i, worker)
    helped = any(helper and helper.worker == i for helper in (state.owner, state.other))
    goes_on = worker.session or any(late.worker == i for late in state.late)
    if helped or goes_on:
        return state
    if all(doc.worker != i for doc in state.docs):
        return state.with_worker(i, Worker())
    if worker.casualty >= 0 and state.docs[worker.casualty].worker != i:
        return state.with_worker(i, worker._replace(casualty=IDLE_MARK))
    return state
