"""Dramatiq on Redis."""

import os
import sys

import dramatiq
import starts
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=os.environ["BENCH_BROKER"])
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(username: str, value: float) -> None:
    starts.note()


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        noop.send(**starts.BODY)
