"""How a process is sure to end. Each test kills processes that it starts itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

from transqueue.process.lifeline import ON_LINUX, boot_time

pytestmark = pytest.mark.skipif(not ON_LINUX, reason="these are the promises of Linux")

LIMIT = 60  # for a process to end, on a busy machine
HEAD = """
    import os, re, signal, subprocess, sys, threading
    from transqueue.process.lifeline import LeaseAlarm, boot_time, die_with_parent

    def busy_until(moment):
        while boot_time() < moment:
            pass
"""
STUCK_IN_C = "re.match(r'(a+)+$', 'a' * 64 + 'b')  # for years, without letting go of the GIL\n"


def script(code):
    return [sys.executable, "-c", textwrap.dedent(HEAD) + textwrap.dedent(code)]


def ending(code):
    """The return code of a process that runs `code`, and what it printed."""
    done = subprocess.run(script(code), stdout=subprocess.PIPE, timeout=LIMIT, check=False)
    return done.returncode, done.stdout.decode().split()


CHILD = """
    die_with_parent(int(sys.argv[1]))
    print("alive", flush=True)
    signal.pause()
"""
PARENT = f"""
    child = {textwrap.dedent(HEAD + CHILD)!r}
    subprocess.Popen([sys.executable, "-c", child, str(os.getpid())])
    signal.pause()
"""


def test_a_child_dies_when_its_parent_is_killed():
    parent = subprocess.Popen(script(PARENT), stdout=subprocess.PIPE)
    assert parent.stdout.readline() == b"alive\n"
    parent.kill()
    assert parent.communicate(timeout=LIMIT) == (b"", None)  # the pipe ends when the child, who has it too, is dead


def test_a_child_whose_parent_is_already_gone_dies_at_once():
    assert ending("die_with_parent(1 if os.getppid() != 1 else 2); print('alive')") == (-signal.SIGKILL, [])


def test_a_child_of_a_living_parent_lives():
    assert ending("die_with_parent(os.getppid()); print('alive')") == (0, ["alive"])


def test_the_alarm_kills_a_process_that_is_stuck_in_c():
    code, printed = ending(f"LeaseAlarm().set(boot_time() + 0.2); print('set', flush=True); {STUCK_IN_C}")
    assert (code, printed) == (-signal.SIGKILL, ["set"])


def test_the_alarm_kills_a_process_that_is_stopped():
    stop = "os.kill(os.getpid(), signal.SIGSTOP)"
    code, printed = ending(f"LeaseAlarm().set(boot_time() + 0.2); print('set', flush=True); {stop}; print('woken')")
    assert (code, printed) == (-signal.SIGKILL, ["set"])


def test_the_alarm_does_not_come_early_and_not_much_late():
    code, printed = ending("""
        end = boot_time() + 0.5
        LeaseAlarm().set(end)
        busy_until(end - 0.1)
        print("alive", flush=True)
        busy_until(end + 30)
        print("too late")
    """)
    assert (code, printed) == (-signal.SIGKILL, ["alive"])


def test_a_moment_that_has_passed_kills_at_once():
    assert ending("LeaseAlarm().set(boot_time() - 5); busy_until(boot_time() + 30); print('alive')")[1] == []


def test_setting_the_alarm_again_moves_it_later():
    code, printed = ending("""
        alarm, start = LeaseAlarm(), boot_time()
        alarm.set(start + 0.2)
        alarm.set(start + 600)
        busy_until(start + 0.5)
        print("alive")
    """)
    assert (code, printed) == (0, ["alive"])


def test_setting_the_alarm_again_moves_it_earlier():
    code, printed = ending("""
        alarm, start = LeaseAlarm(), boot_time()
        alarm.set(start + 600)
        alarm.set(start + 0.2)
        busy_until(start + 30)
        print("alive")
    """)
    assert (code, printed) == (-signal.SIGKILL, [])


def test_the_alarm_may_be_moved_by_another_thread():
    code, printed = ending("""
        alarm, start = LeaseAlarm(), boot_time()
        alarm.set(start + 600)
        threading.Thread(target=alarm.set, args=(start + 0.2,)).start()
        busy_until(start + 30)
        print("alive")
    """)
    assert (code, printed) == (-signal.SIGKILL, [])


def test_the_alarm_is_not_the_one_that_handlers_may_use():
    code, _ = ending("""
        LeaseAlarm().set(boot_time() + 0.3)
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        busy_until(boot_time() + 30)
    """)
    assert code == -signal.SIGKILL


def test_processes_of_one_host_share_the_boot_time():
    before = boot_time()
    _, printed = ending("print(boot_time())")
    assert before <= float(printed[0]) <= boot_time()
