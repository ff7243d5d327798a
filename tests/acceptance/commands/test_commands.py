"""Every command against a running TransQueue, or without one: what it says, what scripts read, its exit code."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

COMMANDS = [
    "api",
    "audit",
    "bench",
    "cancel",
    "check",
    "doctor",
    "explain",
    "init",
    "keys",
    "ls",
    "pause",
    "plugins",
    "reload",
    "resume",
    "retry",
    "show",
    "stats",
    "submit",
    "top",
    "up",
    "work",
]
NOWHERE = "000000000000000000000"


def submitted(place: Any, username: str, value: str = "5") -> str:
    """The id of a deposit that has been made."""
    status, body = place.ask("POST", "/api/data/", f'{{"username": "{username}", "value": {value}}}'.encode())
    assert status == 200, body
    transaction = str(body["data"]["transaction_id"])
    assert place.ask("GET", f"/api/data/{transaction}?wait=20")[1]["data"]["state"] == "done"
    return transaction


# Everywhere


def test_help_tells_every_command_and_its_options(place: Any) -> None:
    listed = place.run("--help")
    assert re.findall(r"^  (\w+) +[A-Z]", listed.out, re.MULTILINE) == COMMANDS
    assert place.run("submit", "-h").out.startswith("Usage: transqueue submit [OPTIONS] [TYPE] [DATA]")
    assert place.run("--version").out.startswith("transqueue, version ")


def test_wrong_usage_is_2(place: Any) -> None:
    for line in (["nonesuch"], ["show"], ["ls", "--state", "lost"], ["--config"], ["submit"], ["submit", "greet", "{"]):
        ran = place.run(*line)
        assert (ran.code, ran.out) == (2, ""), repr(ran)
        assert "Traceback" not in ran.err


def test_config_may_stand_anywhere_and_goes_before_the_environment(place: Any, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other.yaml"
    place.config.rename(elsewhere)
    assert place.run("check").code == 2
    for line in (
        ["--config", elsewhere, "check"],
        ["check", "--config", elsewhere],
        [f"--config={elsewhere}", "check"],
    ):
        assert place.run(*map(str, line)).out == f"{elsewhere}: well\n"
    assert place.run("check", TRANSQUEUE_CONFIG=str(elsewhere)).code == 0
    assert place.run("check", "--config", "none.yaml", TRANSQUEUE_CONFIG=str(elsewhere)).code == 2


@pytest.mark.parametrize("line", ["up", "api", "work", "ls", "stats", "plugins", "ledger verify", "submit --file x"])
def test_an_invalid_configuration_is_2_with_the_line(place: Any, line: str) -> None:
    (place.folder / "x").write_text("{}\n")
    place.change(f"port: {place.port}", "port: many")
    ran = place.run(*line.split())
    assert (ran.code, ran.out) == (2, ""), repr(ran)
    number = place.config.read_text().splitlines().index("  port: many") + 1
    assert f"{place.config}:{number}:9: api.port: must be a whole number" in ran.err


@pytest.mark.parametrize(
    "line", ["api", "work", "ls", "stats", f"show {NOWHERE}", "ledger verify", "ledger balance ann"]
)
def test_without_the_database_it_is_3_with_the_cure(place: Any, line: str) -> None:
    ran = place.run(*line.split())
    assert (ran.code, ran.out) == (3, ""), repr(ran)
    assert "is not running. Start it with `transqueue up`" in ran.err


def test_without_the_api_submit_is_3_and_does_not_try_for_ages(place: Any) -> None:
    began = time.monotonic()
    ran = place.run("submit", "greet", '{"name": "Ada"}')
    assert (ran.code, ran.out) == (3, ""), repr(ran)
    assert "Is TransQueue running? Submitting again is safe." in ran.err
    assert time.monotonic() - began < 30


# init and check


def test_init_writes_a_valid_file_and_never_over_another(place: Any) -> None:
    refused = place.run("init")
    assert refused.code == 2
    assert "was left as it is" in refused.err
    place.config.unlink()
    assert place.run("init").out == f"Wrote {place.config}. Next: transqueue up\n"
    assert place.run("check").code == 0


def test_check_reports_every_mistake_with_line_and_column(place: Any) -> None:
    place.config.write_text(
        "api:\n  prt: 5000\n  threads: 0\nplugins:\n  ledger:\n    config: {rate: 1}\n  paymnts: {}\n"
    )
    ran = place.run("check")
    assert ran.code == 2
    assert [line.partition("config.yaml:")[2][:4] for line in ran.err.splitlines()] == ["2:3:", "3:12"]
    place.config.write_text("plugins:\n  ledger:\n    config: {rate: 1}\n  paymnts: {}\n")
    told = place.run("check", "--json")
    assert told.code == 2
    assert [(problem["line"], problem["path"]) for problem in told.json["problems"]] == [
        (3, "plugins.ledger.config.rate"),
        (4, "plugins.paymnts"),
    ]
    assert all(problem["column"] >= 3 for problem in told.json["problems"])
    assert told.json["file"] == str(place.config)


def test_check_of_a_valid_file_as_json(place: Any) -> None:
    assert place.run("check", "--json").json == {"file": str(place.config), "problems": []}


# plugins


def test_plugins_lists_states_and_types(place: Any) -> None:
    place.change("  greet:\n    enabled: true", "  greet:\n    enabled: false")
    ran = place.run("plugins")
    assert ran.code == 0, repr(ran)
    rows = [re.split(r"  +", line) for line in ran.out.splitlines()]
    assert rows[0] == ["plugin", "state", "distribution", "types"]
    assert rows[1][:2] == ["ledger", "ok"]
    assert rows[1][3] == "deposit, transfer"
    assert ["greet", "disabled"] in [row[:2] for row in rows]


def test_plugins_is_1_when_one_is_missing_and_says_the_cure(place: Any) -> None:
    place.config.write_text(place.config.read_text() + "\n")
    place.change("plugins:\n", "plugins:\n  payments: {}\n")
    ran = place.run("plugins", "list", "--json")
    assert ran.code == 1, repr(ran)
    missing = next(plugin for plugin in ran.json["plugins"] if plugin["name"] == "payments")
    assert (missing["state"], bool(missing["cure"])) == ("missing", True)
    told = place.run("plugins")
    assert told.code == 1
    assert "payments: " in told.err


def test_the_commands_of_a_plugin_that_is_not_enabled_are_2(place: Any) -> None:
    place.change("ledger:\n    # false: the plugin", "ledger:\n    # The plugin")
    place.change("enabled: true\n    # The plugin's own", "enabled: false\n    # The plugin's own")
    ran = place.run("ledger", "verify")
    assert ran.code == 2, repr(ran)
    assert "no plugin 'ledger' is enabled" in ran.err


# submit


def test_submit_waits_for_the_end_and_tells_the_id(running: Any) -> None:
    ran = running.place.run("submit", "greet", '{"name": "Ada"}', "--wait")
    assert ran.code == 0
    assert re.fullmatch(r"1 accepted, 1 done \(\d{21}\)\n", ran.out)
    assert ran.err == ""


def test_submit_with_a_key_is_accepted_once(running: Any) -> None:
    line = ("submit", "greet", '{"name": "Ada"}', "--key", "only-once", "--json")
    first, again = running.place.run(*line).json, running.place.run(*line).json
    assert (first["accepted"], again["accepted"], again["replayed"]) == (1, 0, 1)
    assert first["ids"] == again["ids"]


def test_a_refused_submission_is_1_with_the_reason(running: Any) -> None:
    ran = running.place.run("submit", "greet", '{"nam": "Ada"}')
    assert (ran.code, ran.out) == (1, "0 accepted, 1 refused\n")
    assert "data.name: Missing data for required field." in ran.err


def test_submit_keeps_numbers_as_they_are_written(running: Any) -> None:
    data = '{"username": "digits", "value": 0.123456789012345678}'
    (transaction,) = running.place.run("submit", "deposit", data, "--wait", "--json").json["ids"]
    assert running.place.run("show", transaction).out.count("0.123456789012345678") == 1
    assert Decimal(running.place.run("ledger", "balance", "digits").out) == Decimal("0.123456789012345678")


def test_of_a_file_the_good_lines_are_accepted_and_the_bad_ones_told_by_number(running: Any, tmp_path: Path) -> None:
    file = tmp_path / "some.ndjson"
    good, typed = '{"username": "lines", "value": 1}', '{"type": "greet", "data": {"name": "Ada"}}'
    bad = ['{"username": "lines", "value": }', "[]", '{"username": "lines"}', '{"type": "greet", "data": {}}']
    file.write_text("\n".join([good, "", *bad, typed, good]))
    ran = running.place.run("submit", "--file", str(file), "--wait")
    assert ran.code == 1, repr(ran)
    assert ran.out == "3 accepted, 4 refused, 3 done\n"
    assert sorted(line.split(": ")[0] for line in ran.err.splitlines()) == [
        f"{file}:{number}" for number in (3, 4, 5, 6)
    ]
    told = running.place.run("submit", "--file", str(file), "--json")
    assert (told.code, told.json["accepted"], told.json["replayed"]) == (1, 0, 3)
    assert sorted(refusal["line"] for refusal in told.json["refused"]) == [3, 4, 5, 6]


def test_with_a_key_a_corrected_file_can_be_sent_again(running: Any, tmp_path: Path) -> None:
    file = tmp_path / "corrected.ndjson"
    line = ("submit", "--file", str(file), "--key", "monday", "--json", "--wait")
    file.write_text('{"username": "corrected", "value": 1}\n{"username": "corrected", "value": "2"}\n')
    assert running.place.run(*line).code == 1
    file.write_text('{"username": "corrected", "value": 1}\n{"username": "corrected", "value": 2}\n')
    again = running.place.run(*line)
    assert (again.code, again.json["accepted"], again.json["replayed"]) == (0, 1, 1)
    assert running.place.run("ledger", "balance", "corrected").out == "3\n"


def test_a_url_of_something_else_is_3(running: Any) -> None:
    ran = running.place.run("submit", "greet", '{"name": "Ada"}', "--url", f"{running.place.url}/nothing")
    assert ran.code == 3, repr(ran)
    assert "answered 404" in ran.err


# show, ls, stats, ledger


def test_show_tells_all_of_a_transaction_for_people(running: Any) -> None:
    transaction = submitted(running.place, "shown", "1.25")
    ran = running.place.run("show", transaction)
    assert ran.code == 0
    told = dict(re.split(r"  +", line, maxsplit=1) for line in ran.out.splitlines() if re.match(r"\w[\w ]*  ", line))
    assert told["transaction"] == transaction
    assert told["state"] == "done"
    assert told["data"] == '{"username":"shown","value":1.25}'
    assert told["attempts"] == "1 of 8"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC", told["finished"])
    history = ran.out.splitlines()[ran.out.splitlines().index("history") + 1 :]
    assert history[0].split() == ["at", "state", "attempt", "worker", "error"]
    assert "  done   1        " in history[1]


def test_show_tells_the_error_with_its_traceback(running: Any) -> None:
    place = running.place
    with place.database() as database:
        found = database["Q"].find_one({"type": "deposit"}, {"_id": 0, "idempotency": 0})
        error = {"type": "ValueError", "message": "no\x1b[2J rate", "traceback": "Traceback:\n  in convert"}
        database["Q"].insert_one({**found, "_id": "1" * 21, "type": "failed", "state": "dead", "error": error})
    ran = place.run("show", "1" * 21)
    assert "error         ValueError: no\N{REPLACEMENT CHARACTER}[2J rate\n" in ran.out
    assert ran.out.endswith("  Traceback:\n    in convert\n")
    with place.database() as database:
        database["Q"].delete_one({"_id": "1" * 21})


def test_show_as_json_has_everything(running: Any) -> None:
    transaction = submitted(running.place, "json", "1.50")
    told = running.place.run("show", transaction, "--json").json
    assert (told["id"], told["state"], told["data"]) == (transaction, "done", {"username": "json", "value": 1.5})
    assert told["created_at"].endswith("Z")


def test_an_unknown_transaction_is_1(running: Any) -> None:
    ran = running.place.run("show", NOWHERE)
    assert (ran.code, ran.out, ran.err) == (1, "", f"No transaction {NOWHERE}.\n")


def test_ls_in_a_pipe_cuts_and_wraps_nothing(running: Any) -> None:
    long = "x" * 200
    transaction = submitted(running.place, long)
    ran = running.place.run("ls", "--type", "deposit", "--state", "done", "--limit", "1", COLUMNS="40")
    header, row = ran.out.splitlines()
    assert header.split("  ")[0] == "id"
    assert re.split(r"  +", row)[:4] == [transaction, "deposit", "done", "1"]
    assert row.endswith(f'{{"username":"{long}","value":5}}')


def test_ls_filters_and_limits(running: Any) -> None:
    place = running.place
    ids = [submitted(place, "listed") for _ in range(3)]
    told = [json.loads(line) for line in place.run("ls", "--json", "--limit", "2").out.splitlines()]
    assert [one["id"] for one in told] == [ids[2], ids[1]]
    assert place.run("ls", "--state", "dead").out.splitlines()[1:] == []
    assert place.run("ls", "--type", "nonesuch", "--json").out == ""


def test_stats_counts_by_type_and_state(running: Any) -> None:
    submitted(running.place, "counted")
    told = running.place.run("stats", "--json").json
    assert told["deposit"]["done"] >= 1
    rows = {row.split()[0]: row.split()[1:] for row in running.place.run("stats").out.splitlines()}
    assert rows["type"] == ["queued", "running", "done", "rejected", "dead", "cancelled"]
    assert rows["deposit"][2] == str(told["deposit"]["done"])


def test_ledger_verify_is_1_when_a_balance_differs(running: Any) -> None:
    place = running.place
    submitted(place, "altered")
    with place.database() as database:
        before = database["Bank"].find_one_and_update({"_id": "altered"}, {"$set": {"value": 6}})
        ran = place.run("ledger", "verify")
        database["Bank"].replace_one({"_id": "altered"}, before)
    assert ran.code == 1, repr(ran)
    assert "1 accounts differ" in ran.out
    assert place.run("ledger", "verify").code == 0
    nobody = place.run("ledger", "balance", "nobody")
    assert (nobody.code, nobody.err) == (1, "there is no account 'nobody'\n")


# doctor


def findings(ran: Any) -> dict[str, tuple[str, str, str]]:
    assert ran.err == "", repr(ran)
    return {one["check"]: (one["verdict"], one["message"], one["cure"]) for one in ran.json["findings"]}


def test_doctor_finds_a_running_machine_well(running: Any) -> None:
    place = running.place
    ran = place.run("doctor", "--json")
    told = findings(ran)
    assert (ran.code, ran.json["well"]) == (0, True), repr(ran)
    assert {verdict for verdict, _, _ in told.values()} == {"ok"}, repr(ran)
    assert list(told)[:5] == ["python", "config", "mongod", "data_dir", "port"]
    assert told["port"][1] == f"TransQueue answers at {place.url}"
    assert told["mongod"][1].startswith("mongod 6.")
    assert told["workers"][1].startswith("2 alive on ")
    assert {"plugin ledger", "plugin greet", "database", "clock"} <= told.keys()


def test_doctor_prints_a_line_for_each_check_and_the_cures_below(place: Any) -> None:
    ran = place.run("doctor")
    assert ran.code == 0, repr(ran)
    assert "ok       config" in ran.out
    assert "warning  database       the private MongoDB is not running\n" in ran.out
    assert f"{'':24}Start it with `transqueue up`.\n" in ran.out
    assert not (place.folder / ".transqueue").exists()  # looking changes nothing


def test_doctor_names_a_type_that_is_parked_and_one_that_waits(running: Any) -> None:
    place = running.place
    with place.database() as database:
        found = database["Q"].find_one({"type": "deposit"}, {"_id": 0, "idempotency": 0})
        database["Q"].insert_one({**found, "_id": "2" * 21, "type": "orphan", "state": "queued"})
        try:
            ran = place.run("doctor", "--json")
        finally:
            database["Q"].delete_one({"_id": "2" * 21})
    verdict, message, cure = findings(ran)["type orphan"]
    assert (ran.code, verdict) == (0, "warning")
    assert message.startswith("parked, no enabled plugin processes it; the oldest has been due for ")
    assert cure


def test_doctor_tells_each_thing_that_is_wrong(place: Any) -> None:
    place.change("plugins:\n", "plugins:\n  payments: {}\n")
    place.change("data_dir: .transqueue", "data_dir: config.yaml")
    with taken(place.port):
        ran = place.run("doctor", "--json", TRANSQUEUE_MONGOD=str(place.folder / "none"))
    told = findings(ran)
    assert (ran.code, ran.json["well"]) == (1, False), repr(ran)
    assert {check for check, (verdict, _, _) in told.items() if verdict == "wrong"} == {
        "mongod",
        "data_dir",
        "port",
        "plugin payments",
    }
    assert all(cure for verdict, _, cure in told.values() if verdict != "ok")
    assert told["port"][1] == f"Cannot listen on 127.0.0.1:{place.port}: Address already in use"
    assert place.run("doctor").code == 1


def test_doctor_says_why_mongod_cannot_be_executed(place: Any) -> None:
    broken = place.folder / "mongod"
    broken.write_text(
        "#!/bin/sh\necho 'mongod: error while loading shared libraries: libcurl.so.4: cannot open' >&2\nexit 127\n"
    )
    broken.chmod(0o755)
    verdict, message, cure = findings(place.run("doctor", "--json", TRANSQUEUE_MONGOD=str(broken)))["mongod"]
    assert verdict == "wrong"
    assert "libcurl.so.4 is missing" in message
    assert "apt-get install libcurl4" in cure


def test_doctor_reports_every_mistake_of_config_yaml(place: Any) -> None:
    place.config.write_text("api: {port: 0}\nworkers: {processes: none}\n")
    ran = place.run("doctor", "--json")
    wrong = [one for one in ran.json["findings"] if one["verdict"] == "wrong"]
    assert ran.code == 1
    assert [re.search(r":(\d+:\d+): ", one["message"])[1] for one in wrong] == ["1:13", "2:22"]
    place.config.unlink()
    assert "transqueue init" in place.run("doctor").out


def test_doctor_finds_a_default_type_that_nobody_processes(place: Any) -> None:
    place.change("default_type: deposit", "default_type: invoice")
    ran = place.run("doctor", "--json")
    assert ran.code == 1
    assert findings(ran)["default_type"][0] == "wrong"


def test_doctor_finds_a_database_that_does_not_answer(make_place: Any) -> None:
    with taken(0) as port:
        ran = make_place(uri=f"mongodb://127.0.0.1:{port}/?replicaSet=away").run("doctor", "--json")
    verdict, _, cure = findings(ran)["database"]
    assert (ran.code, verdict, bool(cure)) == (1, "wrong", True)


@contextmanager
def taken(port: int) -> Iterator[int]:
    """A port on which something else listens that never says a word."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        yield other.getsockname()[1]
