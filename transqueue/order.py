"""Order per key: which of a lane's transactions may be leased now.

The rows of a lane are looked at in the order they were accepted. A key stands still behind the first of its
transactions that cannot go now: one that runs, waits for its time, is dead and blocks, or has no handler here. Pure, so
that every queue keeps the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from .transaction import ENDED, State


def source_of(plugin: str) -> str:
    """What the keyed transactions of a plugin are leased under, whatever their types: no type has a slash."""
    return f"{plugin}/"


class Due(NamedTuple):
    """That something is due: a transaction of this type, with an ordering key or without."""

    type: str
    has_key: bool


@dataclass(frozen=True, slots=True)
class Row:
    """What the order needs to know of one keyed transaction that has not left its key."""

    id: str
    key: str
    type: str
    state: State
    due_at: datetime
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What may be leased, in order, and every row that stands still, obstacles included."""

    taken: tuple[Row, ...]
    still: tuple[Row, ...]


def leaves_key(state: State, after_dead: str) -> bool:
    """Whether a transaction in this state no longer holds back the later ones of its key."""
    return state in ENDED and not (state is State.DEAD and after_dead == "block")


def choose(
    rows: Sequence[Row], *, now: datetime, types: Collection[str], limit: int, running: Collection[str] = ()
) -> Choice:
    """Walk a lane's rows, given in the order accepted, and take up to `limit`.

    Several of one key may be taken together, in order. One that must run alone is taken alone. A key of which anything
    runs stands still, even if that was accepted later: a row may become visible after one with a later stamp.

    Args:
        running: keys of which something runs that is not among the rows.
    """
    taken: list[Row] = []
    still: list[Row] = []
    keys = {*running, *(row.key for row in rows if row.state is State.RUNNING)}
    for row in rows:
        if row.key in keys or not _may_go(row, now, types, after_others=bool(taken)):
            keys.add(row.key)
            still.append(row)
            continue
        taken.append(row)
        if row.alone or len(taken) == limit:
            break
    return Choice(tuple(taken), tuple(still))


def _may_go(row: Row, now: datetime, types: Collection[str], *, after_others: bool) -> bool:
    if row.state is not State.QUEUED or row.due_at > now or row.type not in types:
        return False
    return not (row.alone and after_others)
