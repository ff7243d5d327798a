"""What descends from a founder is found and ended, whatever it did to be forgotten. The processes are real."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import psutil
import pytest

from transqueue.process import offspring
from transqueue.process.lifeline import ON_LINUX

pytestmark = pytest.mark.skipif(not ON_LINUX, reason="the mark is Linux's")

HEAD = """
    import os, subprocess, sys
    from transqueue.process.offspring import become_founder, end_offspring, end_orphans

    def tell(pid):
        os.write(1, b"%d\\n" % pid)

    def sleep(**options):
        tell(subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, **options).pid)

    def forked():
        pid = os.fork()
        if pid == 0:
            os.closerange(1, 3)
            os.execvp("sleep", ["sleep", "600"])
        tell(pid)

    def daemon():
        here, there = os.pipe()
        between = os.fork()
        if between == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(there, b"%d" % os.getpid())
                os.closerange(1, 3)
                os.execve("/bin/sleep", ["sleep", "600"], {})
            os._exit(0)
        os.waitpid(between, 0)
        tell(int(os.read(here, 20)))

    become_founder()
"""
LEAVES = {
    "a child": "sleep()",
    "a fork": "forked()",
    "one in a session of its own": "sleep(start_new_session=True)",
    "one with an empty environment": "sleep(env={}, executable='/bin/sleep')",
    "one that forked twice, with all of it": "daemon()",
}
ALL = "\n".join(LEAVES.values())


@pytest.fixture
def founder():
    """`founder(code)`: a founder that runs `code` and then waits to be told to go on; and the pids that it told."""
    started: list[int] = []

    def start(code, after=""):
        lines = [textwrap.dedent(HEAD), code, "tell(0)", "sys.stdin.read()", after]
        process = subprocess.Popen(
            [sys.executable, "-c", "\n".join(lines)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        pids = [int(line) for line in iter(process.stdout.readline, "0\n")]
        started.extend([process.pid, *pids])
        return process, pids

    yield start
    for pid in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()


def close(process):
    process.stdin.close()
    process.stdout.close()
    process.wait()


def alive(pids):
    return [pid for pid in pids if is_alive(pid)]


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_a_killed_founder_leaves_behind_is_ended(founder):
    process, pids = founder(ALL)
    assert alive(pids) == pids
    process.kill()
    close(process)
    offspring.end_orphans()  # or another supervisor of this host has done so already
    assert {kind: alive([pid]) for kind, pid in zip(LEAVES, pids, strict=True)} == {kind: [] for kind in LEAVES}


def test_what_a_living_founder_has_is_its_own_business(founder):
    process, pids = founder(ALL)
    offspring.end_orphans()
    assert alive([process.pid, *pids]) == [process.pid, *pids]
    process.kill()
    close(process)
    offspring.end_orphans()


def test_a_founder_ends_what_it_started_before_it_ends_itself(founder):
    process, pids = founder(ALL, after="assert len(end_offspring(os.getpid())) == 5; os._exit(7)")
    close(process)
    assert process.returncode == 7
    assert alive(pids) == []


def test_what_no_founder_started_is_nobodys(founder):
    other = subprocess.Popen(["sleep", "600"])
    try:
        offspring.end_orphans()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_one_that_forks_without_end_is_ended_to_the_last(founder, wait_until):
    bomb = (
        "import os, time\nfor _ in range(40):\n    time.sleep(0.005)\n    if os.fork():\n        time.sleep(600)\n"
        "time.sleep(600)"
    )
    mark = f"bomb-{uuid.uuid4().hex}"
    process, _ = founder(f"subprocess.Popen([sys.executable, '-c', {bomb!r}, {mark!r}])")
    wait_until(lambda: descended(mark), message="it forks")
    process.kill()
    close(process)
    offspring.end_orphans()
    assert descended(mark) == []


def descended(mark):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark.encode() in arguments and alive([int(entry.name)]):
                found.append(int(entry.name))
    return found
