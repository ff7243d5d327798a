"""`transqueue keys`: what each says, what scripts read, and what is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transqueue.access.key import hashed, parts
from transqueue.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, mongo_uri: str, mongo_database: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """The function `run(*arguments)`: exit code, stdout and stderr of `transqueue keys`."""
    config = tmp_path / "config.yaml"
    config.write_text(f"mongodb: {{uri: '{mongo_uri}', database: {mongo_database}}}\n")

    def made(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["keys", *arguments, "--config", str(config)])
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return made


def created(run: Run, *arguments: str) -> dict[str, Any]:
    code, out, _ = run("create", *arguments, "--json")
    assert code == 0, out
    return dict(json.loads(out))


def listed(run: Run) -> list[dict[str, Any]]:
    return list(json.loads(run("list", "--json")[1])["keys"])


def test_a_new_key_is_alone_on_stdout_and_only_its_hash_is_kept(run: Run, database: Any) -> None:
    code, out, err = run("create", "shop")
    assert (code, out) == (0, f"{out.strip()}\n")
    id, secret = parts(out.strip())
    row = database["ApiKeys"].find_one()
    assert (row["_id"], row["hash"], row["submitter"], row["scopes"]) == (id, hashed(secret), "shop", ["submit"])
    assert secret not in repr([*database["ApiKeys"].find(), *database["Audit"].find()])
    assert "shown this once" in err
    assert secret not in err


def test_a_key_has_the_scopes_types_end_and_note_that_were_asked_for(run: Run) -> None:
    options = ["--scope", "read", "--scope", "submit", "--type", "deposit", "--type", "invoice.*"]
    told = created(run, "shop", *options, "--expires-days", "0.5", "--note", "till 4")
    assert (told["scopes"], told["types"]) == (["submit", "read"], ["deposit", "invoice.*"])
    assert (told["state"], told["note"], told["last_used_at"]) == ("active", "till 4", None)
    assert told["expires_at"] > told["created_at"]
    assert listed(run) == [{name: value for name, value in told.items() if name != "key"}]


def test_keys_alone_lists_them_for_people(run: Run) -> None:
    told = created(run, "shop", "--type", "deposit")
    code, out, _ = run()
    assert code == 0
    assert re.search(rf"^{told['id']}  shop +submit  deposit  active +never +never", out, re.MULTILINE)
    assert parts(told["key"])[1] not in out


def test_a_revoked_key_stays_in_the_list_and_is_revoked_once(run: Run) -> None:
    id = created(run, "shop")["id"]
    assert run("revoke", id)[:2] == (0, f"Key {id} is revoked. Every door knows within 5 seconds.\n")
    assert [key["state"] for key in listed(run)] == ["revoked"]
    code, out, err = run("revoke", id)
    assert (code, out) == (1, "")
    assert "No key" in err


def test_a_key_can_be_given_an_end(run: Run) -> None:
    id = created(run, "shop")["id"]
    assert run("expire", id, "--after-days", "0")[0] == 0
    assert [key["state"] for key in listed(run)] == ["expired"]


def test_only_a_key_that_opens_nothing_is_forgotten(run: Run) -> None:
    id = created(run, "shop")["id"]
    assert run("delete", id)[0] == 1
    run("revoke", id)
    assert run("delete", id)[0] == 0
    assert listed(run) == []


def test_each_change_is_in_the_audit_with_who_made_it(run: Run, database: Any) -> None:
    id = created(run, "shop")["id"]
    for line in (["expire", id, "--after-days", "9"], ["revoke", id], ["delete", id], ["delete", id]):
        run(*line)
    entries = list(database["Audit"].find().sort("_id", 1))
    assert [(entry["action"], entry["target"]) for entry in entries] == [
        ("key.created", id),
        ("key.expires", id),
        ("key.revoked", id),
        ("key.deleted", id),
    ]
    assert all(entry["by"].startswith("cli:") for entry in entries)


@pytest.mark.parametrize(
    "line",
    [
        ["create"],
        ["create", "a b"],
        ["create", "shop", "--scope", "root"],
        ["create", "shop", "--type", "a b"],
        ["create", "shop", "--expires-days", "0"],
        ["create", "shop", "--note", "two\nlines"],
        ["expire", "0123456789ab"],
        ["lose"],
    ],
)
def test_wrong_usage_is_2_and_nothing_is_kept(run: Run, line: list[str], database: Any) -> None:
    code, out, _ = run(*line)
    assert (code, out) == (2, "")
    assert database["ApiKeys"].count_documents({}) == 0
