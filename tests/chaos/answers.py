"""What was submitted and what the door answered: the other half of what the checker compares."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Submission:
    """One body under one idempotency key; `client` sends its submissions one after the other."""

    key: str
    client: int
    type: str
    data: Mapping[str, Any]


@dataclass
class Answers:
    """Safe to write from many threads.

    Attributes:
        submissions: by idempotency key, in the order first sent.
        ids: every transaction id that was answered, by idempotency key.
        wrong: answers that must not be given.
        accepted_at: for each new acceptance, when its request was sent and when it was answered, by `time.monotonic`.
    """

    submissions: dict[str, Submission] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    accepted_at: list[tuple[float, float]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sends(self, submission: Submission) -> None:
        """It is about to be sent, for the first time or again."""
        with self.lock:
            self.counts["repeats" if submission.key in self.submissions else "submissions"] += 1
            self.submissions[submission.key] = submission

    def accepted(self, submission: Submission, id: str, *, sent: float, answered: float, replayed: bool) -> None:
        """The door answered with a transaction id."""
        with self.lock:
            known = self.ids.setdefault(submission.key, [])
            if not known:
                self.accepted_at.append((sent, answered))
            if id not in known:
                known.append(id)
            self.counts["replayed"] += replayed

    def unknown(self, reason: str) -> None:
        """There was no definite answer."""
        with self.lock:
            self.counts[f"no answer: {reason}"] += 1

    def refused(self, submission: Submission, answer: str) -> None:
        """The door answered what it must not."""
        with self.lock:
            self.wrong.append(f"{submission.key}: {answer}")
