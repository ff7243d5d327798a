"""The search: every reachable state once, those with fewer faults first, and among them those with fewer steps.

So the first violation comes with the trace that needs the least to go wrong. States that differ only in names
(`state_names`) count as one; what is kept of them is a state as it really was reached, so that a trace reads without
renaming.
"""

from __future__ import annotations

import gc
import heapq
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from protocol_model import Model
from protocol_state import State
from state_names import renamed

Cost = tuple[int, int]  # faults, steps


class Search:
    """One search from a model's start.

    Attributes:
        violation: what is wrong in the first state that is; empty: nothing.
        trace: how it came to that.
        states, steps: how many were seen; states up to names.
        seconds: of the processor.
    """

    def __init__(self, model: Model) -> None:
        self._model, self._keyed = model, model.protocol.keyed
        self.violation, self.trace, self.steps, self.seconds = "", list[str](), 0, 0.0
        self._states, self._ways, self._costs = list[State](), list[tuple[int, str]](), list[Cost]()
        self._numbers, self._found = dict[State, int](), dict[State, int]()
        self._todo: list[tuple[int, int, int]] = []
        self._sources, self._targets = array("l"), array("l")

    @property
    def states(self) -> int:
        return len(self._states)

    @property
    def canonical(self) -> Iterable[State]:
        """All states that were found, under their canonical names."""
        return self._found

    def told(self) -> str:
        """The violation and its trace, to be read."""
        lines = [f"{number:4}. {says}" for number, says in enumerate(self.trace, 1)]
        return "\n".join([f"{self.violation or 'all is well'}:", *lines])

    def run(self, judge: Callable[[State], str], max_faults: int = 1_000) -> Search:
        """Visit all that at most so many faults can lead to; stop at the first state that is wrong."""
        began = time.process_time()
        with _no_collection():
            self._go(judge, max_faults)
        self.seconds = time.process_time() - began
        return self

    def _go(self, judge: Callable[[State], str], max_faults: int) -> None:
        self._arrive(self._model.start, (0, 0), (-1, ""))
        while self._todo and not self.violation:
            faults, depth, number = heapq.heappop(self._todo)
            if self._costs[number] != (faults, depth):
                continue
            if wrong := judge(self._states[number]):
                self.violation, self.trace = wrong, self._trace(number)
            self._visit(number, faults, depth, max_faults)

    def _visit(self, number: int, faults: int, depth: int, max_faults: int) -> None:
        for says, state, is_fault in self._model.steps(self._states[number]):
            if faults + is_fault > max_faults:
                continue
            self.steps += 1
            target = self._arrive(state, (faults + is_fault, depth + 1), (number, says))
            if not is_fault:
                self._sources.append(number)
                self._targets.append(target)

    def _arrive(self, state: State, cost: Cost, way: tuple[int, str]) -> int:
        number = self._numbers.get(state)
        if number is None:
            number = self._numbers[state] = self._found.setdefault(renamed(state, self._keyed), len(self._states))
        if number == len(self._states):
            self._states.append(state)
            self._ways.append(way)
            self._costs.append(cost)
        elif cost < self._costs[number]:
            self._states[number], self._ways[number], self._costs[number] = state, way, cost
        else:
            return number
        heapq.heappush(self._todo, (*cost, number))
        return number

    # Dead ends

    def dead_end(self, is_end: Callable[[State], bool]) -> Search:
        """Look for a state from which no way leads to an end without a further fault."""
        ends = [number for number, state in enumerate(self._states) if is_end(state)]
        reaching = self._reaching(ends)
        stuck = [number for number, reaches in enumerate(reaching) if not reaches]
        if stuck:
            self.violation = "a dead end: nothing leads from here to the end of every transaction"
            self.trace = self._trace(min(stuck, key=self._costs.__getitem__))
        return self

    def _reaching(self, ends: Iterable[int]) -> bytearray:
        before: list[list[int]] = [[] for _ in self._states]
        for source, target in zip(self._sources, self._targets, strict=True):
            before[target].append(source)
        reaching, todo = bytearray(len(self._states)), list(ends)
        for number in todo:
            reaching[number] = 1
        while todo:
            for source in before[todo.pop()]:
                if not reaching[source]:
                    reaching[source] = 1
                    todo.append(source)
        return reaching

    def _trace(self, number: int) -> list[str]:
        return list(self._back(number))[::-1]

    def _back(self, number: int) -> Iterator[str]:
        while number:
            number, says = self._ways[number]
            yield says


@contextmanager
def _no_collection() -> Iterator[None]:
    """States are tuples without cycles: looking for cycles among a hundred thousand of them only costs time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
