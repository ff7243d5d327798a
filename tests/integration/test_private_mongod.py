"""The private mongod as `transqueue up` uses it: a real one, killed and crowded out, and ones that fail to start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.uri_parser import parse_uri

from transqueue.errors import MongodNotStarted
from transqueue.events import Event, Events
from transqueue.mongodb.embedded import LOG_BYTES, PrivateMongod, attach
from transqueue.mongodb.instance import process_started
from transqueue.mongodb.mongod_failures import WAY_OUT

WaitUntil = Callable[..., Any]


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Callable[..., PrivateMongod]]:
    """Makes a private mongod on a folder of this test, and stops it afterwards."""
    made: list[PrivateMongod] = []

    def make(folder: Path = tmp_path, **options: Any) -> PrivateMongod:
        made.append(PrivateMongod(folder, **options))
        return made[-1]

    yield make
    for mongod in made:
        mongod.stop()


def ask(uri: str, command: str) -> dict[str, Any]:
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=5000) as client:
        return client.admin.command(command)


def write(uri: str, number: int) -> None:
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=5000, w="majority", journal=True) as client:
        client.test.kept.insert_one({"_id": number})


def read(uri: str) -> list[int]:
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=5000) as client:
        return [document["_id"] for document in client.test.kept.find().sort("_id")]


def recorded(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "mongod.json").read_text())
    return record


def test_it_takes_writes_as_soon_as_it_is_started_and_keeps_port_name_and_data(
    private: Callable[..., PrivateMongod], tmp_path: Path
) -> None:
    assert attach(tmp_path) is None
    uri = private().start()
    assert attach(tmp_path) == uri
    write(uri, 1)
    private().stop()
    assert attach(tmp_path) == uri, "stopping another object leaves this one alone"


def test_a_restart_keeps_port_name_and_data(private: Callable[..., PrivateMongod], tmp_path: Path) -> None:
    with PrivateMongod(tmp_path) as mongod:
        uri = attach(tmp_path)
        assert uri is not None
        write(uri, 1)
    assert mongod.pid is None
    assert attach(tmp_path) is None
    os.truncate(tmp_path / "mongod.log", LOG_BYTES + 1)
    assert private().start() == uri
    assert read(uri) == [1]
    assert (tmp_path / "mongod.log.1").stat().st_size == LOG_BYTES + 1
    assert (tmp_path / "mongod.log").stat().st_size < LOG_BYTES


def test_each_folder_has_a_set_name_of_its_own_and_a_driver_refuses_another(
    private: Callable[..., PrivateMongod], mongo_uri: str
) -> None:
    uri = private().start()
    assert ask(uri, "hello")["setName"] in uri
    assert uri.split("replicaSet=")[1] != mongo_uri.split("replicaSet=")[1]


def test_it_is_on_loopback_alone_without_compressors_and_outside_of_the_terminals_reach(
    private: Callable[..., PrivateMongod], tmp_path: Path
) -> None:
    mongod = private()
    options = ask(mongod.start(), "getCmdLineOpts")["parsed"]
    assert options["net"]["bindIp"] == "127.0.0.1"
    assert options["net"]["compression"]["compressors"] == "disabled"
    assert options["net"]["unixDomainSocket"]["enabled"] is False
    assert mongod.pid is not None
    assert os.getsid(mongod.pid) != os.getsid(0)
    assert (tmp_path / "mongod").stat().st_mode & 0o077 == 0
    assert sum(file.stat().st_blocks * 512 for file in (tmp_path / "mongod").rglob("*")) < 20 * 2**20


def test_a_killed_one_loses_nothing_and_just_starts_again(
    private: Callable[..., PrivateMongod], wait_until: WaitUntil, tmp_path: Path
) -> None:
    mongod = private()
    uri = mongod.start()
    write(uri, 1)
    os.kill(mongod.pid or 0, signal.SIGKILL)
    wait_until(lambda: mongod.pid is None, message="the kill")
    assert (tmp_path / "mongod" / "mongod.lock").read_text().strip(), "the lock is stale"
    assert attach(tmp_path) is None
    assert mongod.start() == uri
    assert read(uri) == [1]


def test_a_strangers_mongod_on_its_port_is_not_mistaken_for_it(
    private: Callable[..., PrivateMongod], tmp_path: Path, mongo_uri: str
) -> None:
    with PrivateMongod(tmp_path) as first:
        old = attach(tmp_path) or ""
        write(old, 1)
    assert first.pid is None
    strangers_port = parse_uri(mongo_uri)["nodelist"][0][1]
    (tmp_path / "mongod.json").write_text(json.dumps(recorded(tmp_path) | {"port": strangers_port}))
    heard: list[Event] = []
    uri = private(events=Events(heard.append)).start()
    assert read(uri) == [1]
    assert f":{strangers_port}/" not in uri
    assert uri.split("?")[1] == old.split("?")[1]
    assert ask(uri, "serverStatus")["pid"] == recorded(tmp_path)["pid"]
    assert attach(tmp_path) == uri
    port = recorded(tmp_path)["port"]
    assert [event.facts for event in heard if event.name == "mongod.port_changed"] == [
        {"taken": strangers_port, "port": port}
    ]
    write(uri, 2)


def test_losing_the_record_loses_neither_the_name_nor_the_data(
    private: Callable[..., PrivateMongod], tmp_path: Path
) -> None:
    with PrivateMongod(tmp_path):
        old = attach(tmp_path) or ""
        write(old, 1)
    (tmp_path / "mongod.json").write_text('{"port": 1')
    uri = private().start()
    assert read(uri) == [1]
    assert uri.split("?")[1] == old.split("?")[1]


def test_a_folder_in_use_is_refused_naming_the_process(private: Callable[..., PrivateMongod], tmp_path: Path) -> None:
    mongod = private()
    uri = mongod.start()
    with pytest.raises(MongodNotStarted, match=f"process {os.getpid()} .*{mongod.pid}") as raised:
        private().start()
    assert raised.value.cure.endswith(WAY_OUT)
    (tmp_path / "mongod.json").unlink()
    with pytest.raises(MongodNotStarted, match=f"in use by process {mongod.pid}"):
        private().start()
    assert ask(uri, "ping")["ok"] == 1


def test_a_process_that_got_the_number_of_a_dead_mongod_is_not_believed_to_be_it(tmp_path: Path) -> None:
    record = {"port": 1, "replica_set": "tq-x", "pid": os.getpid(), "owner": 1}
    (tmp_path / "mongod.json").write_text(json.dumps(record | {"started": "another boot/1"}))
    assert attach(tmp_path) is None
    (tmp_path / "mongod.json").write_text(json.dumps(record | {"started": process_started(os.getpid())}))
    assert attach(tmp_path) == "mongodb://127.0.0.1:1/?replicaSet=tq-x"


PARENT = """
import sys, time
from pathlib import Path
from transqueue.mongodb import embedded, guard
embedded.ON_LINUX = guard.ON_LINUX = sys.argv[2] == "kernel"
mongod = embedded.PrivateMongod(Path(sys.argv[1]))
mongod.start()
print(mongod.pid, flush=True)
sys.stdin.read()
mongod.stop()
"""


@pytest.mark.parametrize("how", ["kernel", "guard"])
@pytest.mark.parametrize("end", ["killed", "leaves"])
def test_it_dies_with_its_parent(tmp_path: Path, wait_until: WaitUntil, how: str, end: str) -> None:
    arguments = [sys.executable, "-c", PARENT, str(tmp_path), how]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert process_started(pid)
        assert attach(tmp_path)
        if end == "killed":
            parent.kill()
        else:
            parent.stdin.close()
        assert parent.wait(30) == (-signal.SIGKILL if end == "killed" else 0)
    wait_until(lambda: not process_started(pid), message="mongod's end")
    assert attach(tmp_path) is None


def script(folder: Path, *lines: str) -> dict[str, str]:
    """An environment in which mongod is a shell script of these lines."""
    program = folder / "fake-mongod"
    program.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    program.chmod(0o755)
    return {"PATH": os.environ["PATH"], "TRANSQUEUE_MONGOD": str(program)}


LIBCURL = "mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file"
GLIBC = "mongod: /lib/libc.so.6: version \\`GLIBC_2.34' not found (required by mongod)"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        pytest.param([f'echo "{LIBCURL}" >&2', "exit 127"], "libcurl.so.4 is missing", id="missing library"),
        pytest.param([f'echo "{GLIBC}" >&2', "exit 1"], "GLIBC_2.34 not found", id="old glibc"),
        pytest.param(["kill -ILL $$"], "AVX", id="no AVX"),
        pytest.param(["exit 62"], "another, probably newer, version", id="newer data"),
        pytest.param(["exit 48"], "Every port that was tried", id="no port at all"),
        pytest.param(
            ["echo odd >&2", "exit 3"], "ended with code 3 before it was ready. Its last lines:\n  odd", id="?"
        ),
    ],
)
def test_a_mongod_that_fails_is_explained(
    private: Callable[..., PrivateMongod], tmp_path: Path, lines: list[str], told: str
) -> None:
    mongod = private(tmp_path / "data", environ=script(tmp_path, *lines))
    with pytest.raises(MongodNotStarted) as raised:
        mongod.start()
    assert told in raised.value.cause
    assert raised.value.cure.endswith(WAY_OUT)
    assert mongod.pid is None


def test_a_mongod_that_never_gets_ready_is_given_up_and_ended(
    private: Callable[..., PrivateMongod], tmp_path: Path
) -> None:
    environ = script(tmp_path, f'echo $$ > "{tmp_path}/pid"', "exec sleep 600")
    mongod = private(tmp_path / "data", environ=environ, ready_seconds=0.5)
    with pytest.raises(MongodNotStarted, match=r"not ready within 0\.5 s"):
        mongod.start()
    assert mongod.pid is None
    assert process_started(int((tmp_path / "pid").read_text())) == ""


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        pytest.param(b"\x7fELF of another machine", 0o755, "not a program for this machine", id="other architecture"),
        pytest.param(b"#!/nowhere/loader\n", 0o755, "the loader it was linked for is not", id="no loader"),
        pytest.param(b"#!/bin/sh\n", 0o644, "may not be executed by this user", id="no right to execute"),
    ],
)
def test_a_program_that_the_system_does_not_start_is_explained(
    private: Callable[..., PrivateMongod], tmp_path: Path, content: bytes, mode: int, told: str
) -> None:
    program = tmp_path / "mongod"
    program.write_bytes(content)
    program.chmod(mode)
    with pytest.raises(MongodNotStarted, match=told):
        private(tmp_path / "data", environ={"TRANSQUEUE_MONGOD": str(program)}).start()


def test_a_file_in_place_of_the_data_folder_is_explained(private: Callable[..., PrivateMongod], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(MongodNotStarted, match="is not a folder, or lies below a file"):
            private(folder).start()
        assert attach(folder) is None
