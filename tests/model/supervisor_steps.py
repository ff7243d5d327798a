"""The steps of supervisors: ending a worker, killing its sessions, putting back what it held, document by document."""

from __future__ import annotations

from collections.abc import Iterator

from database_commands import Step, names
from protocol_state import GROUP_MARK, NAMES, NOBODY, UNKNOWN, Doc, Helper, Protocol, State, Worker


class SupervisorSteps:
    """What the supervisor of a dead worker, and any other one, can do next."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol

    def owner(self, state: State) -> Iterator[Step]:
        """The supervisor of a worker that it saw die: it knows from the marker what that was doing."""
        if helper := state.owner:
            casualty = state.workers[helper.worker].casualty
            for says, after, left in self._helps(state, helper, casualty):
                told = after if left else _reported(after, helper.worker)
                yield f"its supervisor {says}", _helped(told, left, told.other), False
            yield "its supervisor loses an answer, and will begin again", _helped(state, (), state.other), True
            yield "its supervisor dies too", _helped(_reported(state, helper.worker), (), state.other), True
            return
        for i, worker in enumerate(state.workers):
            if not worker.alive and worker.casualty != UNKNOWN:
                ended = state.with_worker(i, worker._replace(lease="ended"))
                says = f"the supervisor of worker {i + 1} reaps it and ends its document"
                yield says, _helped(ended, Helper(i, "kill"), state.other), False

    def other(self, state: State) -> Iterator[Step]:
        """Any supervisor that rescues a worker whose lease lapsed, or what an ended one still holds."""
        if helper := state.other:
            for says, after, left in self._helps(state, helper, GROUP_MARK):
                yield f"another supervisor {says}", _helped(after, after.owner, left), False
            waits = any(state.is_locked(row[0]) for row in helper.rows)  # then its time limit ends the wait
            yield "the other supervisor dies, or gets no answer", _helped(state, state.owner, ()), not waits
            return
        for i, worker in enumerate(state.workers):
            if self._has_lapsed(worker):
                yield self._finds_lapsed(state, i, worker)
            elif worker.lease == "ended" and self.protocol.rescue_ended and any(doc.worker == i for doc in state.docs):
                says = f"another supervisor sees that worker {i + 1}, which has ended, still holds something"
                yield says, _helped(state, state.owner, Helper(i, "kill")), False

    def _has_lapsed(self, worker: Worker) -> bool:
        if self.protocol.lapsed_apart:
            return worker.lease == "lapsed"
        return worker.lease == "live" and may_lapse(self.protocol, worker)

    def _finds_lapsed(self, state: State, i: int, worker: Worker) -> Step:
        says = f"the lease of worker {i + 1} {'(paused, or cut off) ' if worker.alive else ''}has lapsed: another"
        if not self.protocol.end_first:
            return f"{says} supervisor sees it", _helped(state, state.owner, Helper(i, "kill")), worker.alive
        ended = state.with_worker(i, worker._replace(lease="ended"))
        return f"{says} supervisor ends its document", _helped(ended, state.owner, Helper(i, "kill")), worker.alive

    def _helps(self, state: State, helper: Helper, casualty: int) -> Iterator[tuple[str, State, Helper | tuple[()]]]:
        i = helper.worker
        worker = state.workers[i]
        if helper.at == "end":
            yield f"ends the document of worker {i + 1}", state.with_worker(i, worker._replace(lease="ended")), ()
        elif helper.at == "kill":
            killed = state.with_worker(i, worker._replace(session=())) if self.protocol.kill else state
            rows = tuple(
                (t, doc.token, t == casualty or (casualty == GROUP_MARK and doc.alone))
                for t, doc in enumerate(state.docs)
                if doc.state == "running" and doc.worker == i
            )
            found = names(tuple(row[0] for row in rows)) or "nothing"
            after = Helper(i, "put", rows) if rows else self._after_putting(i, worker)
            yield f"kills the sessions of worker {i + 1} and reads what it holds: {found}", killed, after
        else:
            yield from self._puts_back(state, helper, casualty)

    def _after_putting(self, i: int, worker: Worker) -> Helper | tuple[()]:
        return Helper(i, "end") if worker.lease != "ended" else ()

    def _puts_back(
        self, state: State, helper: Helper, casualty: int
    ) -> Iterator[tuple[str, State, Helper | tuple[()]]]:
        for row in helper.rows:
            t, token, charged = row
            if state.is_locked(t):
                continue
            doc = state.docs[t]
            rows = tuple(one for one in helper.rows if one != row)
            after = (
                helper._replace(rows=rows) if rows else self._after_putting(helper.worker, state.workers[helper.worker])
            )
            held = doc.state == "running" and doc.worker == helper.worker
            if charged and self.protocol.charge_by_token:
                held = state.is_held(t, token)
            if not held:
                yield f"finds that worker {helper.worker + 1} does not hold {NAMES[t]} any more", state, after
                continue
            if charged and doc.token != token:
                state = state._replace(wrong=f"{NAMES[t]} is charged for another lease than the one that died")
            if state.workers[helper.worker].lease == "live":
                state = state._replace(wrong=f"{NAMES[t]} is taken from a worker whose lease is live")
            back = (
                self._charged(doc)
                if charged
                else doc._replace(state="queued", alone=doc.alone or (self.protocol.alone and casualty == GROUP_MARK))
            )
            back = back._replace(token=0, worker=NOBODY)
            how = "charges" if charged else "puts back"
            yield f"{how} {NAMES[t]}, now {back.state}", state.written(t, back), after

    def _charged(self, doc: Doc) -> Doc:
        if doc.crashes + 1 >= self.protocol.max_crashes or doc.attempts + 1 >= self.protocol.max_attempts:
            return doc._replace(state="dead", attempts=0, crashes=0, alone=False, by=0)
        return doc._replace(state="queued", attempts=doc.attempts + 1, crashes=doc.crashes + 1, by=0)


def may_lapse(protocol: Protocol, worker: Worker) -> bool:
    """With the alarm, a worker is dead before its lease can lapse."""
    return not (worker.alive and protocol.alarm)


def _helped(state: State, owner: Helper | tuple[()], other: Helper | tuple[()]) -> State:
    return State(*state[:3], owner, other, state.wrong)


def _reported(state: State, i: int) -> State:
    return state.with_worker(i, state.workers[i]._replace(casualty=UNKNOWN))
