"""Submitters: each thread sends one submission after the other, and the same one again until the answer is definite."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import simplejson
import urllib3
from answers import Answers, Submission

ACCOUNTS = [f"account{number}" for number in range(8)]
KEYS = [f"key{number}" for number in range(6)]
THINK_SECONDS = 0.06  # on average, between two submissions
AGAIN_SECONDS = (0.05, 0.5)
ANSWER_SECONDS = 6.0
IMPATIENT_SECONDS = 0.004
REPEATS_ANSWERED, IMPATIENT = 0.05, 0.03  # how often
BACKLOG_LIMIT = 300
HEADERS = {"Content-Type": "application/json"}


class Clients:
    """Threads that submit until told to stop, and then end once their last submission is answered."""

    def __init__(self, url: str, answers: Answers, *, threads: int, seed: int, backlog: Callable[[], int]) -> None:
        self._stop = threading.Event()
        self._all = [
            Client(url, answers, number, random.Random(f"{seed}/client{number}"), backlog, self._stop)
            for number in range(threads)
        ]

    def start(self) -> None:
        for client in self._all:
            client.start()

    def stop(self) -> None:
        """Send nothing new."""
        self._stop.set()

    def have_ended(self) -> bool:
        """Whether all of them have got their last answer."""
        return not any(client.is_alive() for client in self._all)


class Client(threading.Thread):
    """One submitter."""

    def __init__(
        self,
        url: str,
        answers: Answers,
        number: int,
        rand: random.Random,
        backlog: Callable[[], int],
        stop: threading.Event,
    ) -> None:
        super().__init__(name=f"client{number}", daemon=True)
        self._url, self._answers, self._number, self._random = f"{url}/api/data/", answers, number, rand
        self._backlog, self._stopping = backlog, stop
        self._http = urllib3.PoolManager(maxsize=1, retries=False)
        self._sent: list[Submission] = []
        self._steps: Counter[str] = Counter()

    def run(self) -> None:
        while not self._stopping.wait(self._random.expovariate(1 / THINK_SECONDS)):
            if self._backlog() > BACKLOG_LIMIT:
                continue
            submission = self._new()
            self._sent.append(submission)
            self._until_definite(submission)
            if self._random.random() < REPEATS_ANSWERED:
                self._until_definite(self._random.choice(self._sent))

    def _new(self) -> Submission:
        type = self._random.choices(("deposit", "transfer", "probe.step", "probe.note"), (40, 25, 25, 10))[0]
        key = f"client{self._number}-{len(self._sent)}"
        return Submission(key, self._number, type, getattr(self, f"_{type.replace('.', '_')}")())

    def _deposit(self) -> dict[str, Any]:
        return {"username": self._random.choice(ACCOUNTS), "value": self._amount()}

    def _transfer(self) -> dict[str, Any]:
        payer, payee = self._random.sample(ACCOUNTS, 2)
        return {"from": payer, "to": payee, "value": self._amount()}

    def _probe_step(self) -> dict[str, Any]:
        key = self._random.choice(KEYS)
        self._steps[key] += 1
        return {"key": key, "client": self._number, "number": self._steps[key]}

    def _probe_note(self) -> dict[str, Any]:
        return {"number": len(self._sent)}

    def _amount(self) -> Decimal:
        """Greater than 0, with up to 18 digits after the point: sums in floats would not come out."""
        places = self._random.choice((0, 2, 2, 2, 6, 18))
        return Decimal(self._random.randrange(1, 300 * 10**places)).scaleb(-places)

    def _until_definite(self, submission: Submission) -> None:
        impatient = self._random.random() < IMPATIENT
        while not self._send(submission, IMPATIENT_SECONDS if impatient else ANSWER_SECONDS):
            impatient = False
            time.sleep(self._random.uniform(*AGAIN_SECONDS))

    def _send(self, submission: Submission, seconds: float) -> bool:
        """Send it once; whether the answer is definite."""
        self._answers.sends(submission)
        body = {"type": submission.type, "data": submission.data}
        sent = time.monotonic()
        try:
            answer = self._http.request(
                "POST",
                self._url,
                body=simplejson.dumps(body, use_decimal=True),
                headers={**HEADERS, "Idempotency-Key": submission.key},
                timeout=seconds,
            )
        except urllib3.exceptions.HTTPError as error:
            self._answers.unknown(type(error).__name__)
            return False
        return self._judge(submission, answer, sent)

    def _judge(self, submission: Submission, answer: urllib3.BaseHTTPResponse, sent: float) -> bool:
        if answer.status in {429, 503}:
            self._answers.unknown(str(answer.status))
            return False
        try:
            id = answer.json()["data"]["transaction_id"] if answer.status == 200 else ""
        except (ValueError, KeyError, TypeError):
            id = ""
        if not id:
            self._answers.refused(submission, f"{answer.status} {answer.data[:300]!r}")
            return True
        replayed = answer.headers.get("Idempotency-Replayed") == "true"
        self._answers.accepted(submission, id, sent=sent, answered=time.monotonic(), replayed=replayed)
        return True
