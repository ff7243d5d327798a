"""The steps of a worker: lease, run, settle, release, give up. One step is one command to the database, or one
document of a command that writes several, or one thing that happens to the process.

A step is (what it says, the state after it, whether it is a fault). Faults are never needed to make progress.
"""

from __future__ import annotations

from collections.abc import Iterator

from database_commands import Commands, Step, as_late, finished, held_or_finished, names, settling, without_memory
from protocol_state import (
    GROUP_MARK,
    IDLE_MARK,
    NAMES,
    Doc,
    Job,
    Protocol,
    Session,
    State,
    Worker,
)

IN_SERVER = frozenset({"lease", "settle", "settle again", "release"})


class WorkerSteps:
    """What a worker can do next."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol, self.commands = protocol, Commands(protocol)
        self._steps = {
            "idle": self._leases_in_order if protocol.keyed else self._leases,
            "lease": self.commands.step,
            "turn": self._turn,
            "turn sent": self._commit_answer,
            "hold": self._hold,
            "run": self._run,
            "settle": self._settle,
            "settle again": self._settle,
            "session": self._session,
            "session sent": self._commit_answer,
            "release": self.commands.step,
        }

    def of(self, state: State, i: int) -> Iterator[Step]:
        """All steps of worker `i`."""
        worker = state.workers[i]
        if worker.alive:
            yield from self._steps[worker.job.at](state, i, worker.job)
            yield from self._deaths(state, i, worker)

    # Leasing

    def _leases(self, state: State, i: int, job: Job) -> Iterator[Step]:
        """Candidates are read from the index, then taken: in between anything may happen."""
        queued = [t for t, doc in enumerate(state.docs) if doc.state == "queued"]
        for ids in _selections(queued, self.protocol.limit):
            if len(ids) == 1 or not any(state.docs[t].alone for t in ids):
                job = Job("lease", state.fresh_token(), todo=ids, members=ids)
                yield f"worker {i + 1} reads {names(ids)} as due and asks to lease", state.with_job(i, job), False

    def _leases_in_order(self, state: State, i: int, job: Job) -> Iterator[Step]:
        """The lane's document is written first: whoever else does so now gets a write conflict, and tries again."""
        others = state.workers[1 - i].session
        if self.protocol.lane and others and others.kind == "lease":
            return
        for limit in range(1, self.protocol.limit + 1):
            taken = self._choose(state, limit)
            if len(taken) == limit:
                token = state.fresh_token()
                worker = state.workers[i]._replace(session=Session("lease", token, taken), job=Job("turn", token))
                says = f"worker {i + 1} opens a session, writes the lane, and sees {names(taken)} in front"
                yield says, state.with_worker(i, worker), False

    def _choose(self, state: State, limit: int) -> tuple[int, ...]:
        """As `transqueue.order.choose`."""
        taken: list[int] = []
        rows = [(t, doc) for t, doc in enumerate(state.docs) if doc.state != "new" and not self.is_over(doc)]
        if self.protocol.alone_in_key and any(doc.state == "running" for _, doc in rows):
            return ()
        for t, doc in rows:
            if doc.state != "queued" or (doc.alone and taken):
                break
            taken.append(t)
            if doc.alone or len(taken) == limit:
                break
        return tuple(taken)

    def is_over(self, doc: Doc) -> bool:
        """Whether a transaction no longer holds back the later ones of its key."""
        return doc.state == "done" or (doc.state == "dead" and self.protocol.after_dead == "skip")

    def _turn(self, state: State, i: int, job: Job) -> Iterator[Step]:
        worker = state.workers[i]
        if not (session := worker.session):
            yield f"worker {i + 1} finds its session ended: no lease", finished(state, i), False
        elif session.stale or any(state.is_locked(t, i) for t in session.members):
            state = state.with_worker(i, worker._replace(session=()))
            yield f"worker {i + 1} gets a write conflict: no lease", finished(state, i), False
        else:
            session = session._replace(written=True, sent=True)
            worker = worker._replace(session=session, job=job._replace(at="turn sent", members=session.members))
            says = f"worker {i + 1} leases {names(session.members)} in its session and sends the commit"
            yield says, state.with_worker(i, worker), False

    # Running

    def _hold(self, state: State, i: int, job: Job) -> Iterator[Step]:
        back = Job("release", job.token, todo=job.rest)
        yield f"worker {i + 1} starts nothing more and gives {names(job.rest)} back", state.with_job(i, back), False
        if job.blocked and self.protocol.drop_later:
            return
        if not self.protocol.transactional:
            yield self._starts(state, i, job)
            return
        yield from self._fails_in_session(state, i, job)
        for count in range(1, len(job.rest) + 1):
            yield self._opens(state, i, job, job.rest[:count])

    def _starts(self, state: State, i: int, job: Job) -> Step:
        running = job._replace(at="run", members=job.rest[:1], rest=job.rest[1:])
        return f"worker {i + 1} starts the handler of {names(running.members)}", state.with_job(i, running), False

    def _run(self, state: State, i: int, job: Job) -> Iterator[Step]:
        (t,) = job.members
        for outcome in ("completes", "fails"):
            doc = state.docs[t]
            ended = job._replace(members=(), ended=(*job.ended, (t, outcome)))
            ended = ended._replace(blocked=job.blocked or self._blocks(doc, outcome))
            says = f"the handler of {NAMES[t]} {outcome} in worker {i + 1}"
            yield f"{says}, which asks to settle", state.with_job(i, settling(ended)), False
            together = ended.rest and not (ended.blocked and self.protocol.drop_later)
            if together and not (self.protocol.keyed and self.protocol.apart):
                name, more, _ = self._starts(state, i, ended)
                yield f"{says}; {name}", more, False

    def _blocks(self, doc: Doc, outcome: str) -> bool:
        """Whether a transaction's later ones of the same key must not go on in this worker's hands."""
        if not self.protocol.keyed or outcome == "completes":
            return False
        return not (doc.attempts + 1 >= self.protocol.max_attempts and self.protocol.after_dead == "skip")

    # Settling what acted outside

    def _settle(self, state: State, i: int, job: Job) -> Iterator[Step]:
        yield from self.commands.step(state, i, job)
        if len(state.late) < self.protocol.late:
            late = state._replace(late=(*state.late, as_late(job, i))).with_job(i, settling(job, again=True))
            yield f"worker {i + 1} waits no longer, and asks again; its first command goes on", late, True

    # Settling together with the effects

    def _fails_in_session(self, state: State, i: int, job: Job) -> Iterator[Step]:
        """A handler that raises has its writes discarded, and is settled apart."""
        t = job.rest[0]
        blocked = job.blocked or self._blocks(state.docs[t], "fails")
        failed = job._replace(ended=((t, "fails"),), rest=job.rest[1:], blocked=blocked)
        yield f"the handler of {NAMES[t]} fails in worker {i + 1}", state.with_job(i, settling(failed)), False

    def _opens(self, state: State, i: int, job: Job, members: tuple[int, ...]) -> Step:
        held = all(self.commands.matches(state.docs[t], i, job.token) for t in members)
        session = Session("settle", job.token, members, held=held)
        job = job._replace(at="session", members=members, rest=job.rest[len(members) :])
        worker = state.workers[i]._replace(session=session, job=job)
        says = f"worker {i + 1} opens a session (its snapshot is of now) and runs {names(members)}: effects written"
        return says, state.with_worker(i, worker), False

    def _session(self, state: State, i: int, job: Job) -> Iterator[Step]:
        worker = state.workers[i]
        session = worker.session
        again = job._replace(at="hold", members=(), rest=(*job.members, *job.rest))
        if not session:
            yield f"worker {i + 1} finds its session ended, and starts over", state.with_job(i, again), False
        elif not session.held:
            held = tuple(t for t in job.members if state.is_held(t, job.token))
            left = again._replace(rest=(*held, *job.rest), blocked=job.blocked or self.protocol.keyed)
            state = held_or_finished(state.with_worker(i, worker._replace(session=())), i, left)
            yield f"the fence of worker {i + 1} matches less than it ran: all is discarded", state, False
        elif self._conflicts(state, i, session):
            state = state.with_worker(i, worker._replace(session=())).with_job(i, again)
            yield f"worker {i + 1} gets a write conflict, and starts over", state, False
        else:
            written = self.protocol.fence != "read"
            worker = worker._replace(
                session=session._replace(written=written, sent=True), job=job._replace(at="session sent")
            )
            says = f"worker {i + 1} {'writes' if written else 'reads'} the fence of {names(job.members)} and commits"
            yield says, state.with_worker(i, worker), False

    def _conflicts(self, state: State, i: int, session: Session) -> bool:
        if self.protocol.fence == "read":
            return False
        return session.stale or any(state.is_locked(t, i) for t in session.members)

    def _commit_answer(self, state: State, i: int, job: Job) -> Iterator[Step]:
        """Nothing to do while the commit is under way; when the server ended the session, all starts over."""
        if not state.workers[i].session:
            if job.at == "turn sent":
                yield f"worker {i + 1} hears that its commit failed: no lease", finished(state, i), False
            else:
                again = job._replace(at="hold", members=(), rest=(*job.members, *job.rest))
                yield f"worker {i + 1} hears that its commit failed, and starts over", state.with_job(i, again), False

    # Dying

    def _deaths(self, state: State, i: int, worker: Worker) -> Iterator[Step]:
        """Killed at any moment; or ended uncharged, by its alarm or because an answer left it in doubt."""
        forgotten = without_memory(state, worker.job.token)
        goes_on = worker.job.at in IN_SERVER and len(state.late) < self.protocol.late
        for mark in dict.fromkeys((*_marks(worker.job), IDLE_MARK)):
            after = forgotten.with_worker(i, Worker(worker.lease, False, mark, worker.session))
            says = f"worker {i + 1} {'dies' if mark != IDLE_MARK else 'ends uncharged (alarm, or it lost track)'}"
            yield says, after, True
            if worker.session and worker.session.sent:
                open_ = worker.session._replace(sent=False)
                unsent = after.with_worker(i, Worker(worker.lease, False, mark, open_))
                yield f"{says}, and its commit never arrives", unsent, True
            if goes_on:
                late = after._replace(late=(*after.late, as_late(worker.job, i)))
                yield f"{says}; its command goes on in the server", late, True


def _marks(job: Job) -> tuple[int, ...]:
    """What the marker may say: which transaction is running, or that a group is about to be settled."""
    if job.at == "run":
        return job.members
    if job.at.startswith("settle"):
        return (job.ended[0][0] if len(job.ended) == 1 else GROUP_MARK,)
    if job.at == "session":
        return (*job.members, GROUP_MARK) if len(job.members) > 1 else job.members
    if job.at.startswith("session"):
        return job.members if len(job.members) == 1 else (GROUP_MARK,)
    return (IDLE_MARK,)


def _selections(queued: list[int], limit: int) -> Iterator[tuple[int, ...]]:
    yield from ((t,) for t in queued)
    if limit > 1:
        yield from ((t, other) for t in queued for other in queued if t != other)
