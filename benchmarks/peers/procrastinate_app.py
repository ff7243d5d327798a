"""Procrastinate on PostgreSQL."""

import os
import sys

import starts
from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

connector = SyncPsycopgConnector if __name__ == "__main__" else PsycopgConnector
app = App(connector=connector(conninfo=os.environ["BENCH_BROKER"]))


@app.task(name="noop")
def noop(username: str, value: float) -> None:
    starts.note()


if __name__ == "__main__":
    with app.open():
        if not app.check_connection():  # which says whether its tables are there
            app.schema_manager.apply_schema()
        for at in range(0, int(sys.argv[1]), 1000):
            noop.batch_defer(*[starts.BODY] * min(1000, int(sys.argv[1]) - at))
