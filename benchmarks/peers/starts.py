"""Where the jobs of peers tell that they were started: one line of nanoseconds each. Imported in their environments."""

import os
import time

BODY = {"username": "user123", "value": 150.0}
_file = os.open(os.environ["BENCH_STARTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note() -> None:
    os.write(_file, b"%d\n" % time.time_ns())
