"""What the front process tells of a new process that was to answer requests, and is no more."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import SimpleNamespace

import pytest

from transqueue.api.boot import BootNote
from transqueue.api.front import Front, _refuse
from transqueue.api.serving import Serving
from transqueue.errors import ReloadRefused

GOES_ON = ". What ran before goes on."


@pytest.fixture
def said() -> Iterator[Connection]:
    """The link to a process that has ended without a word."""
    said, theirs = Pipe(duplex=False)
    theirs.close()
    yield said
    said.close()


def word(said: Connection, note: BootNote, exitcode: int) -> str:
    front = object.__new__(Front)
    front.interrupt_signal = False
    ended = SimpleNamespace(join=lambda _: None, inner=SimpleNamespace(exitcode=exitcode))
    with pytest.raises(ReloadRefused) as refused:
        _refuse(front._word(Serving(ended, note, said)), ())
    return str(refused.value)


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
