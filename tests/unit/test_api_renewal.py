"""What the front process tells of a new process that was to answer requests, and is no more."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import pytest

from transqueue.api.boot import BootNote
from transqueue.api.renewal import RenewableServer

GOES_ON = ". What ran before goes on."


@pytest.fixture
def said() -> Iterator[Connection]:
    """The link to a process that has ended without a word."""
    said, theirs = Pipe(duplex=False)
    theirs.close()
    yield said
    said.close()


def word(said: Connection, note: BootNote, exitcode: int) -> Any:
    server = object.__new__(RenewableServer)
    server.interrupt_signal = False
    ended = SimpleNamespace(inner=SimpleNamespace(join=lambda _: None, exitcode=exitcode))
    return server._word(said, ended, note)


def test_the_plugin_that_it_did_not_survive_is_named_with_its_phase_and_the_cure(said: Connection) -> None:
    note = BootNote()
    note.write("bad", "startup")
    assert word(said, note, -11) == (
        "plugin 'bad' is broken (startup): it ends the process that answers requests (exit code -11). "
        "Correct it, or switch it off: plugins: {bad: {enabled: false}}" + GOES_ON
    )


def test_an_end_that_is_no_plugins_is_told_as_such(said: Connection) -> None:
    note = BootNote()
    note.write("good", "startup")
    note.write("", "")
    assert word(said, note, 1) == "the new process that answers requests ended (exit code 1)" + GOES_ON
