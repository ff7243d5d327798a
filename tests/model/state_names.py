"""Names mean nothing: states that differ only in the numbers of tokens, of workers, or of transactions are one.

Tokens are only ever compared for equality, and both workers follow the same rules. So do transactions without an
ordering key; with one, A comes before B. Checked by a test: the search without this finds the same, only longer.
"""

from __future__ import annotations

from collections.abc import Callable

from protocol_state import NOBODY, Helper, State, Worker


def renamed(state: State, keyed: bool) -> State:
    """The same state under its canonical names: tokens, workers, and (without order) transactions are only compared."""
    swaps = _in_order(state, [_look(worker) for worker in state.workers], _other_workers)
    if not keyed and len(state.docs) == 2:
        looks = [(doc.state, doc.worker == NOBODY, doc[4:]) for doc in state.docs]
        swaps = [one for swap in swaps for one in _in_order(swap, looks, _other_transactions)]
    return min(map(_tokens_in_order, swaps))


def _in_order(state: State, looks: list, swap: Callable[[State], State]) -> list[State]:
    """The two are put in order by their looks; where these are alike, both orders count."""
    if looks[0] == looks[1]:
        return [state, swap(state)]
    return [state] if looks[0] < looks[1] else [swap(state)]


def _look(worker: Worker) -> tuple:
    """What does not change with the names of tokens and transactions."""
    job, session = worker.job, worker.session
    return (
        worker[:3] if worker.casualty < 0 else (*worker[:2], 0),
        session and session[3:],
        job.at,
        len(job.rest),
        job.blocked,
    )


def _tokens_in_order(state: State) -> State:
    order: dict[int, int] = {0: 0}
    for token in state.tokens():
        order.setdefault(token, len(order))
    if all(old == new for old, new in order.items()):
        return state
    workers = []
    for worker in state.workers:
        session = worker.session and worker.session._replace(token=order[worker.session.token])
        workers.append(worker._replace(session=session, job=worker.job._replace(token=order[worker.job.token])))
    return state._replace(
        docs=tuple(doc._replace(token=order[doc.token], by=order[doc.by]) for doc in state.docs),
        workers=tuple(workers),
        late=tuple(late._replace(token=order[late.token]) for late in state.late),
        owner=_helper_tokens(state.owner, order),
        other=_helper_tokens(state.other, order),
    )


def _helper_tokens(helper: Helper | tuple[()], order: dict[int, int]) -> Helper | tuple[()]:
    return helper and helper._replace(rows=tuple((t, order[token], charged) for t, token, charged in helper.rows))


def _other_workers(state: State) -> State:
    def swap(one: object) -> object:
        return one and one._replace(worker=1 - one.worker)

    docs = [doc if doc.worker == NOBODY else doc._replace(worker=1 - doc.worker) for doc in state.docs]
    return state._replace(
        docs=tuple(docs),
        workers=state.workers[::-1],
        late=tuple(swap(late) for late in state.late),
        owner=swap(state.owner),
        other=swap(state.other),
    )


def _other_transactions(state: State) -> State:
    def all_of(ids: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(1 - t for t in ids)

    def pairs(rows: tuple) -> tuple:
        return tuple((1 - row[0], *row[1:]) for row in rows)

    workers = []
    for worker in state.workers:
        job, session = worker.job, worker.session
        if job.at != "idle":
            job = job._replace(
                todo=all_of(job.todo),
                members=all_of(job.members),
                ended=pairs(job.ended),
                matched=all_of(job.matched),
                rest=all_of(job.rest),
            )
        session = session and session._replace(members=all_of(session.members))
        casualty = worker.casualty if worker.casualty < 0 else 1 - worker.casualty
        workers.append(worker._replace(casualty=casualty, session=session, job=job))
    return state._replace(
        docs=state.docs[::-1],
        workers=tuple(workers),
        late=tuple(late._replace(todo=all_of(late.todo), ended=pairs(late.ended)) for late in state.late),
        owner=state.owner and state.owner._replace(rows=tuple(sorted(pairs(state.owner.rows)))),
        other=state.other and state.other._replace(rows=tuple(sorted(pairs(state.other.rows)))),
    )
