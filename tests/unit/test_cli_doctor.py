"""The judgements of `doctor` that need no machine in trouble: clocks, waiting types, plugins, disks."""

from __future__ import annotations

import shutil
import socket
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from transqueue.admin.part import Part, Reload
from transqueue.admin.pause import Pause
from transqueue.cli import machine
from transqueue.cli.deployment import check_clock, check_dead, check_parts, check_paused, check_waiting
from transqueue.cli.doctor import check_plugins
from transqueue.cli.finding import Verdict
from transqueue.cli.machine import check_folder, check_mongod
from transqueue.config import Config
from transqueue.plugins import PluginState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "verdict", "said"),
    [
        (0.4, Verdict.OK, "ahead"),
        (-0.4, Verdict.OK, "behind"),
        (1.5, Verdict.WARNING, "1.5 s ahead of"),
        (-9, Verdict.WARNING, "9.0 s behind"),
    ],
)
def test_a_clock_that_is_off_by_more_than_a_second_is_told(seconds: float, verdict: Verdict, said: str) -> None:
    found = check_clock(NOW, NOW + timedelta(seconds=seconds))
    assert (found.verdict, bool(found.cure)) == (verdict, verdict is Verdict.WARNING)
    assert said in found.message


def test_what_waits_is_judged_by_its_age_and_whether_anyone_processes_it() -> None:
    ages = {"deposit": 2, "report.daily": 7200, "orphan": 1}
    oldest = {type: NOW - timedelta(seconds=age) for type, age in ages.items()}
    found = {one.check: one for one in check_waiting(oldest, NOW, {"deposit", "report.*"})}
    assert {check: one.verdict for check, one in found.items()} == {
        "type deposit": Verdict.OK,
        "type orphan": Verdict.WARNING,
        "type report.daily": Verdict.WARNING,
    }
    assert "2 hours" in found["type report.daily"].message
    assert found["type orphan"].message.startswith("parked")


def test_without_the_plugins_nothing_is_called_parked() -> None:
    (found,) = check_waiting({"orphan": NOW}, NOW, None)
    assert found.verdict is Verdict.OK


def test_an_empty_queue_is_well() -> None:
    (found,) = check_waiting({}, NOW, {"deposit"})
    assert (found.verdict, found.message) == (Verdict.OK, "nothing is due")


def test_a_broken_plugin_is_wrong_with_its_cure_and_a_disabled_one_is_not_mentioned() -> None:
    states = [
        PluginState(name="ledger", state="broken", phase="import", reason="ImportError: no", cure="Install it"),
        PluginState(name="greet", state="disabled"),
    ]
    (found,) = check_plugins(Config(), states)
    assert (found.check, found.verdict, found.cure) == ("plugin ledger", Verdict.WRONG, "Install it.")


def test_a_default_type_without_a_plugin_is_wrong() -> None:
    states = [PluginState(name="greet", state="ok", types=["greet"])]
    well, found = check_plugins(Config(), states)
    assert well.verdict is Verdict.OK
    assert (found.check, found.verdict) == ("default_type", Verdict.WRONG)


def test_a_disk_with_less_than_a_gibibyte_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 2**29))
    found = check_folder(tmp_path / "not" / "yet")
    assert (found.verdict, found.message) == (Verdict.WARNING, f"{tmp_path / 'not' / 'yet'}, 0.5 GiB free")
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_below_a_file_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert check_folder(tmp_path / "file" / "data").verdict is Verdict.WRONG


def test_a_mongod_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "mongod"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(machine, "VERSION_SECONDS", 0.2)
    monkeypatch.setenv("TRANSQUEUE_MONGOD", str(hanging))
    found = check_mongod(tmp_path)
    assert found.verdict is Verdict.WRONG
    assert "did not end within 0.2 s" in found.message


def test_a_mongod_that_may_not_be_executed_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mongod").touch(mode=0o644)
    monkeypatch.setenv("TRANSQUEUE_MONGOD", str(tmp_path / "mongod"))
    found = check_mongod(tmp_path)
    assert found.verdict is Verdict.WRONG
    assert "chmod +x" in found.cure


def test_dead_ones_and_paused_types_are_told_with_what_to_do() -> None:
    (dead,) = check_dead({"deposit": 3, "greet": 0})
    assert (dead.verdict, dead.message) == (Verdict.WARNING, "3 are dead")
    assert "transqueue ls --state dead --type deposit" in str(dead.cure)
    (paused,) = check_paused({"pay.*": Pause("cli:ann", NOW, "the bank is down")})
    assert paused.message == "paused by cli:ann at 2026-01-01 00:00:00.000 UTC: the bank is down"
    assert "transqueue resume 'pay.*'" in str(paused.cure)


def part(**changes: object) -> Part:
    given = {"id": "p", "role": "up", "host": socket.gethostname(), "pid": 7, "version": "1.0", "started_at": NOW}
    return Part(**{**given, **changes})  # type: ignore[arg-type]


def test_a_part_that_refused_its_reload_or_has_not_read_the_file_is_told() -> None:
    refused = Reload(well=False, message="api.port: too big", at=NOW)
    (found,) = check_parts([part(reload=refused)], NOW)
    assert "was refused: api.port: too big" in found.message
    later = NOW + timedelta(seconds=5)
    (found,) = check_parts([part()], later)
    assert (found.verdict, found.cure) == (Verdict.WARNING, "`transqueue reload`")
    reloaded = part(reload=Reload(well=True, message="put to use", at=NOW + timedelta(seconds=9)))
    (found,) = check_parts([reloaded], later)
    assert found.verdict is Verdict.OK
    assert [one.verdict for one in check_parts([part(host="elsewhere")], later)] == [Verdict.OK]
    assert [one.check for one in check_parts([part(), part(version="1.1")], NOW)][-1] == "versions"
