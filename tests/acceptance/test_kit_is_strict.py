"""What the author's kit lets pass, a real worker lets pass: the same handlers, in the kit and in real processes."""

from __future__ import annotations

import importlib
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from transqueue.errors import SubmissionRefused
from transqueue.testing import Kit, crash
from transqueue.testing.real import kit_on

CODE = (Path(__file__).parent / "data" / "strict_cases.py").read_text()
PARKED = "class.broken"

pytestmark = pytest.mark.timeout(600)  # several workers die on the way, and each start takes its time


class Cases:
    """The cases, run in real processes once, and in kits."""

    def __init__(self, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        site.plugin("cases", CODE)
        monkeypatch.syspath_prepend(site.packages)
        self.module = importlib.import_module("acme_cases")
        self.site = site
        self.really = self._really()

    def in_kit(self, kit: Kit) -> dict[str, Any]:
        """Every case in a kit; what each came to."""
        kit.database["Full"].insert_one({"_id": 1, "n": 1})
        told, ids = {}, {}
        for name, type, data, options in self.module.CASES:
            try:
                ids[name] = kit.submit(type, data, **options)
            except SubmissionRefused as error:
                told[name] = {"status": error.status, "code": error.code, "errors": error.errors}
        kit.run()
        while any(one.type != PARKED for one in kit.transactions(state="queued")):
            kit.advance()
            kit.run()
        for name, id in ids.items():
            one = kit.get(id)
            told[name] = _told(str(one.state), one.result, one.error, one.attempts, one.crashes)
        followed = [(one.type, one.data, str(one.state)) for one in kit.transactions() if one.id not in ids.values()]
        return {**told, "effects": _effects(kit.database), "follow-ups": sorted(map(json.dumps, followed))}

    def _really(self) -> dict[str, Any]:
        site = self.site
        site.database["Full"].insert_one({"_id": 1, "n": 1})
        running = site.start("up")
        site.wait_until(site._is_open, timeout=120, message="the door opens")
        told, ids = {}, {}
        for name, type, data, options in self.module.CASES:
            body = {"type": type, "data": data} | ({"options": options} if options else {})
            status, answer, _ = site.ask("POST", "/api/data/", body)
            if status == 200:
                ids[name] = answer["data"]["transaction_id"]
            else:
                told[name] = {"status": status, "code": answer["code"], "errors": answer.get("errors", {})}
        due = [id for name, id in ids.items() if name != PARKED]
        site.until(due, timeout=240, hurry=True)
        site.wait_until(
            lambda: not site.database["Q"].count_documents({"state": "queued", "type": {"$ne": PARKED}}), timeout=60
        )
        running.stop()
        for name, id in ids.items():
            one = site.transaction(id)
            told[name] = _told(one["state"], one.get("result"), one.get("error"), one["attempts"], one["crashes"])
        others = site.database["Q"].find({"_id": {"$nin": list(ids.values())}})
        followed = [(one["type"], one["data"], one["state"]) for one in others]
        return {**told, "effects": _effects(site.database), "follow-ups": sorted(map(json.dumps, followed))}


@pytest.fixture(scope="module")
def cases(make_site: Any) -> Any:
    site = make_site()
    with closing(site), pytest.MonkeyPatch.context() as patch:
        yield Cases(site, patch)


def test_the_cases_end_in_every_way_there_is(cases: Cases) -> None:
    states = {told.get("state", told.get("code")) for name, told in cases.really.items() if isinstance(told, dict)}
    assert states >= {"done", "rejected", "dead", "queued", "invalid_data", "unknown_type"}


def test_the_kit_in_memory_lets_pass_what_real_workers_let_pass(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases.module, "die", crash)
    with Kit({"plugins": {"cases": {}}}) as kit:
        assert _differences(cases.in_kit(kit), cases.really) == []


def test_so_does_the_kit_on_a_real_mongod(cases: Cases, mongo_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases.module, "die", crash)
    with kit_on(mongo_uri, {"plugins": {"cases": {}}}) as kit:
        assert _differences(cases.in_kit(kit), cases.really) == []


def _told(state: str, result: Any, error: Any, attempts: int, crashes: int) -> dict[str, Any]:
    said = f"{error['type']}: {error['message']}" if error else None
    if said and said.startswith("DuplicateKeyError"):
        said = "DuplicateKeyError"  # mongomock has words of its own
    return {"state": state, "result": result, "error": said, "attempts": attempts, "crashes": crashes}


def _effects(database: Any) -> list[str]:
    return sorted(f"{one['_id']}: {one['n']}" for one in database["E"].find())


def _differences(kit: dict[str, Any], really: dict[str, Any]) -> list[str]:
    names = sorted({*kit, *really})
    return [f"{name}: {kit.get(name)} / {really.get(name)}" for name in names if kit.get(name) != really.get(name)]
