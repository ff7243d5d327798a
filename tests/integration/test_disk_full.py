"""A database without room on its disk: 503 at the door, and nothing that was answered with success is lost."""

from __future__ import annotations

import random
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from transqueue import Handler
from transqueue.api.app import create_app
from transqueue.config import Config
from transqueue.events import Events
from transqueue.mongodb import MongoQueue, connect
from transqueue.mongodb.embedded import PrivateMongod

SMALL, LARGE = 48 * 2**20, 512 * 2**20
FILLING_BYTES = 200_000


def nothing(transaction: Any, context: Any) -> None:
    """Do nothing."""


HANDLERS = {"note": Handler(type="note", target=nothing, plugin="notes", version="1")}


class Claims:
    """A table written down by hand."""

    def resolve(self, type: str, /) -> Handler | None:
        return HANDLERS.get(type)

    def types(self) -> Any:
        return HANDLERS

    def parked(self, type: str, /) -> str | None:
        return None

    def vetters(self) -> Any:
        return ()

    def states(self) -> Any:
        return []


class Disk:
    """A small disk of its own; where this account may not mount one, a limit on the size of mongod's files instead."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = self._mount(f"size={SMALL}")
        if not self.mounted:
            print("no disk can be mounted here: mongod's files are limited in size instead")

    def is_small(self, mongod: PrivateMongod) -> None:
        if not self.mounted:
            assert mongod.pid
            resource.prlimit(mongod.pid, resource.RLIMIT_FSIZE, (SMALL // 4, resource.RLIM_INFINITY))

    def is_given_room(self) -> None:
        if self.mounted:
            subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(self.folder)], check=True, timeout=20)

    def remove(self) -> None:
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True, timeout=20)

    def _mount(self, options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "transqueue-test", str(self.folder)]
        try:
            return subprocess.run(command, check=False, timeout=20, capture_output=True).returncode == 0
        except OSError:
            return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    disk.remove()


@pytest.fixture
def mongod(disk: Disk) -> Iterator[PrivateMongod]:
    mongod = PrivateMongod(disk.folder)
    yield mongod
    mongod.stop()


def test_a_full_disk_is_503_and_nothing_that_was_accepted_is_lost(
    disk: Disk, mongod: PrivateMongod, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("connection", "intake"):
        monkeypatch.setattr(f"transqueue.mongodb.{module}.CALL_SECONDS", 1.0)
    uri = mongod.start()
    queue = connect(uri, "transqueue")
    disk.is_small(mongod)
    accepted, refused = _fill(_client(queue))
    assert len(accepted) > 10
    assert (refused.status_code, refused.json["code"]) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    assert _post(_client(queue), "again").status_code == 503
    queue.close()

    disk.is_given_room()
    mongod.stop()
    queue = connect(mongod.start(), "transqueue")
    assert [one for one in accepted if queue.get(one) is None] == []
    assert _post(_client(queue), "again").status_code == 200
    queue.close()


def _client(queue: MongoQueue) -> FlaskClient:
    return create_app(queue=queue, table=Claims(), config=Config(), clock=queue.clock, events=Events()).test_client()


def _post(client: FlaskClient, note: str) -> Any:
    return client.post("/api/data/", json={"type": "note", "data": {"note": note}})


def _fill(client: FlaskClient) -> tuple[list[str], Any]:
    """Submit until it is refused: the ids of what was accepted, and the refusal."""
    accepted: list[str] = []
    for number in range(SMALL // FILLING_BYTES * 20):
        answer = _post(client, f"{number} {_incompressible(number)}")
        if answer.status_code != 200:
            return accepted, answer
        accepted.append(answer.json["data"]["transaction_id"])
    pytest.fail(f"{len(accepted)} were accepted, and the disk is still not full")


def _incompressible(number: int) -> str:
    """What the database cannot make smaller."""
    return random.Random(number).randbytes(FILLING_BYTES // 2).hex()
