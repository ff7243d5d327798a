"""The stop flag, in processes of its own: signals are for the whole process."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

LIMIT = 60
HEAD = """
    import os, select, signal, sys, threading, time
    from transqueue.process.signals import StopFlag

    def get(number):
        os.kill(os.getpid(), number)

    def readable(flag):
        return bool(select.select([flag], [], [], 0)[0])

    def seconds(action, *arguments):
        began = time.monotonic()
        action(*arguments)
        return time.monotonic() - began
"""


def printed(code):
    """What a process that runs `code` printed; it must end well."""
    script = textwrap.dedent(HEAD) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, timeout=LIMIT, check=True)
    return done.stdout.decode().split()


def test_each_stop_signal_sets_the_flag_and_nothing_else_happens():
    assert printed("""
        for number in (signal.SIGTERM, signal.SIGINT):
            flag = StopFlag()
            before = flag.is_set()
            get(number)
            print(before, flag.is_set())
    """) == ["False", "True", "False", "True"]


def test_a_signal_from_outside_ends_a_wait_at_once():
    script = textwrap.dedent(HEAD) + "flag = StopFlag(); print('waiting', flush=True); flag.wait(600); print('stopped')"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"waiting\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=LIMIT) == (b"stopped\n", None)
    assert process.returncode == 0


def test_a_signal_that_came_before_the_wait_is_not_slept_past():
    assert printed("""
        flag = StopFlag()
        get(signal.SIGTERM)
        print(seconds(flag.wait, 600) < 60, seconds(flag.wait, 600) < 60)
    """) == ["True", "True"]


def test_an_interrupt_can_be_left_to_the_parent():
    assert printed("""
        flag = StopFlag(ignore_interrupt=True)
        get(signal.SIGINT)
        print(flag.is_set())
        get(signal.SIGTERM)
        print(flag.is_set())
    """) == ["False", "True"]


def test_a_wake_ends_a_wait_without_setting_the_flag():
    assert printed("""
        flag = StopFlag()
        threading.Timer(0.05, flag.wake).start()
        print(seconds(flag.wait, 600) < 60, flag.is_set())
    """) == ["True", "False"]


def test_the_flag_may_be_set_by_another_thread():
    assert printed("""
        flag = StopFlag()
        threading.Timer(0.05, flag.set).start()
        print(seconds(flag.wait, 600) < 60, flag.is_set())
    """) == ["True", "True"]


def test_a_wake_is_used_up_by_one_wait():
    assert printed("""
        flag = StopFlag()
        flag.wake()
        flag.wake()
        print(seconds(flag.wait, 600) < 60, seconds(flag.wait, 0.1) >= 0.09)
    """) == ["True", "True"]


def test_a_wait_ends_by_itself_and_a_negative_one_at_once():
    assert printed("flag = StopFlag(); print(seconds(flag.wait, 0.1) >= 0.09, seconds(flag.wait, -5) < 60)") == [
        "True",
        "True",
    ]


def test_the_flag_is_readable_after_a_signal_or_a_wake_until_cleared():
    assert (
        printed("""
        flag = StopFlag()
        for action in (lambda: get(signal.SIGTERM), flag.wake):
            before = readable(flag)
            action()
            during = readable(flag)
            flag.clear()
            print(before, during, readable(flag))
    """)
        == ["False", "True", "False"] * 2
    )


def test_any_number_of_wakes_that_nobody_reads_is_no_trouble():
    assert printed("""
        flag = StopFlag()
        for _ in range(100_000):
            flag.wake()
        flag.clear()
        print(readable(flag))
    """) == ["False"]
