"""Celery on MongoDB."""

import os
import sys

import starts
from celery import Celery

app = Celery("peers", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=4, worker_hijack_root_logger=False
)


@app.task(name="noop")
def noop(username: str, value: float) -> None:
    starts.note()


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        noop.delay(**starts.BODY)
