"""Bad plugins, all installed together in one running TransQueue: what each does, and what becomes of its transactions.

One row for each; beside them all a plugin that is well keeps working to the end. How each is told at loading, with
place and cure, is in `tests/unit/test_plugins.py`; segfaults, memory limits and the like are in
`tests/acceptance/test_handlers_misbehave.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.timeout(400)  # of which the first test waits for all of them to start and end

# At loading: what the plugin is, and the words in which it is told broken.
LOADING: dict[str, tuple[str, str]] = {
    "an ImportError": ("import nonesuch", "No module named 'nonesuch'"),
    "a SyntaxError": ("def (:", "SyntaxError"),
    "sys.exit on import": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "os._exit on import": ("import os; os._exit(3)", "loading it ends the process that does so (exit code 3)"),
    "a hang on import": ("import time; time.sleep(600)", "loading it takes longer than"),
    "an unknown hook argument": (
        "from transqueue import hookimpl\n@hookimpl\ndef transqueue_handlers(config, colour):\n    return []",
        "colour",
    ),
    "a typo in a hook's name": (
        "from transqueue import hookimpl\n@hookimpl\ndef transqueue_handlerz(config):\n    return []",
        "transqueue_handlerz",
    ),
    "a hook that raises": (
        "from transqueue import hookimpl\n@hookimpl\ndef transqueue_handlers(config):\n    raise KeyError('x')",
        "KeyError",
    ),
    "sys.exit in a hook": (
        "from transqueue import hookimpl\n@hookimpl\ndef transqueue_handlers(config):\n    raise SystemExit(4)",
        "SystemExit: 4",
    ),
    "a hook that returns rubbish": (
        "from transqueue import hookimpl\n@hookimpl\ndef transqueue_handlers(config):\n    return [42]",
        "",
    ),
}

# At run time: the handler's body, the state in which its transaction ends, and what is told of it.
# Each has one attempt, unless it says otherwise.
RUNNING: dict[str, tuple[str, str, str]] = {
    "raises": ("raise ValueError('boom')", "dead", "ValueError: boom"),
    "raises what has no words": ("raise Mute", "dead", "Mute: "),
    "says no": ("raise Reject('too little')", "rejected", "Reject: too little"),
    "wants to be asked later": ("raise RetryLater(after_seconds=3600)", "queued", "RetryLater: "),
    "sys.exit": ("sys.exit(3)", "dead", "SystemExit: 3"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "dead", "KeyboardInterrupt: "),
    "os._exit": ("os._exit(3)", "dead", "WorkerDied: "),
    "changes what it was given": ("transaction.data['name'] = 'other'; transaction.data.clear()", "done", ""),
    "changes the transaction itself": ("transaction.state = 'done'", "dead", "FrozenInstanceError: "),
    "returns what is no JSON": ("return {'a': object()}", "dead", "ResultRefused: "),
    "returns bytes": ("return b'x'", "dead", "ResultRefused: "),
    "returns NaN": ("return float('nan')", "dead", "ResultRefused: "),
    "returns 2^64": ("return 2**64", "dead", "ResultRefused: "),
    "returns a $ key": ("return {'$where': 1}", "dead", "ResultRefused: "),
    "returns 20 MB": ("return 'x' * 20_000_000", "dead", "ResultRefused: "),
    "returns what contains itself": ("a = []; a.append(a); return a", "dead", "ResultRefused: "),
    "asks for a session that it has not": ("context.db['X'].insert_one({})", "dead", "transactional=True"),
    "is killed while it waits on the network": ("socket.create_server(('127.0.0.1', 0)).accept()", "dead", "1 s"),
    "runs out of memory": ("raise MemoryError", "dead", "MemoryError: "),
    "leaves a child behind": ("os.fork() or sleep()", "done", ""),
    "leaves a process of multiprocessing behind": (
        "multiprocessing.get_context('fork').Process(target=time.sleep, args=[600]).start()",
        "done",
        "",
    ),
    "leaves a daemon behind": ("daemon()", "done", ""),
    "forks and comes back twice": ("os.fork()", "done", ""),
    "leaves threads behind": ("threading.Thread(target=time.sleep, args=[600]).start()", "done", ""),
    "takes the signals": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "done", ""),
    "changes the folder and the umask": ("os.chdir('/'); os.umask(0o777)", "done", ""),
    "replaces json.dumps": ("json.dumps = None", "done", ""),
    "closes stderr": ("sys.stderr.close()", "done", ""),
}
# The same with a session of its own: what it writes by it is kept or not.
IN_SESSION: dict[str, tuple[str, str, str]] = {
    "writes, then raises": ("put(context); raise ValueError('boom')", "dead", "ValueError: boom"),
    "writes, then says no": ("put(context); raise Reject('no')", "rejected", "Reject: no"),
    "writes, then returns no JSON": ("put(context); return object()", "dead", "ResultRefused: "),
    "swallows an error of the database": (
        "put(context)\n    try:\n        put(context)\n    except Exception:\n        pass",
        "dead",
        "SessionEnded: ",
    ),
    "closes its session": ("put(context); session().end_session()", "dead", "SessionKept: "),
    "aborts its session": ("put(context); session().abort_transaction()", "dead", "SessionKept: "),
    "commits its session": ("put(context); session().commit_transaction()", "dead", "SessionKept: "),
    "commits by a command": (
        "put(context); context.db.client.admin.command('commitTransaction')",
        "dead",
        "SessionKept: ",
    ),
    "closes its client": ("put(context); context.db.client.close()", "dead", "SessionKept: "),
    "swallows that it may not abort": (
        "put(context)\n    try:\n        session().abort_transaction()\n    except Exception:\n        pass",
        "done",
        "",
    ),
    "writes, and forks and comes back twice": ("put(context); os.fork()", "done", ""),
    "writes": ("put(context)", "done", ""),
}
HANDLERS = RUNNING | IN_SESSION

HEAD = """
import json, multiprocessing, os, signal, socket, sys, threading, time
from pymongo.synchronous import client_session
from transqueue import Reject, RetryLater, handler

class Mute(Exception):
    def __str__(self):
        raise RuntimeError

FOLDER = os.getcwd()

def sleep():
    os.execve("/bin/sleep", [f"left in {FOLDER}", "600"], {})

if os.fork() == 0:  # on import: so in each worker, in the API's process, and where the plugin is tried out
    sleep()

def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            sleep()
        os._exit(0)
    os.wait()

def session():
    return client_session._SESSION.get()

def put(context):
    context.db["Effects"].insert_one({"_id": put.transaction})
"""
WELL = """
from transqueue import handler

@handler("well")
def well(transaction, context):
    return transaction.data
"""


def name_of(kind: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in kind)


def handler(kind: str, body: str, *, transactional: bool) -> str:
    seconds = 1 if "network" in kind else 30
    limits = f"max_attempts=1, timeout_seconds={seconds}, transactional={transactional}"
    function = f"do_{name_of(kind)}"
    code = f"@handler({name_of(kind)!r}, {limits})\ndef {function}(transaction, context):\n"
    return f"{code}    put.transaction = transaction.id\n    {body}\n"


class Outcome:
    """What one run came to."""

    def __init__(self, site: Any) -> None:
        self.site = site
        self.ids: dict[str, str] = {}
        self.plugins: Mapping[str, Any] = {}
        self.refused: Any = None
        self.up: Any = None
        self.code = -1

    def told(self, kind: str) -> str:
        return json.dumps(self.of(kind), default=str, indent=1)

    def of(self, kind: str) -> dict[str, Any]:
        return dict(self.site.transaction(self.ids[kind]))


@pytest.fixture(scope="module")
def outcome(make_site: Callable[[], Any]) -> Iterator[Outcome]:
    """All of them in one run, with two workers, until each transaction has come to where it comes to."""
    site = make_site()
    site.configure(workers={"processes": 2, "stop_seconds": 3})
    site.plugin("well", WELL)
    for kind, (code, _) in LOADING.items():
        site.plugin(name_of(kind), code)
    bodies = [handler(kind, body, transactional=False) for kind, (body, *_) in RUNNING.items()]
    bodies += [handler(kind, body, transactional=True) for kind, (body, *_) in IN_SESSION.items()]
    site.plugin("bad", HEAD + "\n".join(bodies))
    outcome = Outcome(site)
    for kind in HANDLERS:
        (outcome.ids[kind],) = site.enqueue(name_of(kind), {"name": kind}, max_attempts=1)
    (outcome.ids["nobody's"],) = site.enqueue("orphan", {})
    up = site.start("up", TRANSQUEUE_PROBE_SECONDS="8")
    site.wait_until(
        lambda: len(up.events("worker.ready")) >= 2, timeout=90, message=f"the workers are ready {up.told()}"
    )
    ended = [outcome.ids[kind] for kind, row in HANDLERS.items() if row[1] != "queued"]
    site.until(ended, timeout=120)
    site.wait_until(lambda: _deferred(outcome), timeout=60, message="the one that wants to wait has run")
    site.wait_until(site._is_open, timeout=90, message="the door opens")
    outcome.plugins = {one["name"]: one for one in site.ask("GET", "/api/plugins")[1]["data"]["plugins"]}
    outcome.refused = site.ask("POST", "/api/data/", {"type": "orphan", "data": {}})
    site.until(site.enqueue("well", *({"n": number} for number in range(50))), "done", timeout=90)
    outcome.code = up.stop(timeout=60)
    outcome.up = up
    yield outcome
    site.close()


def _deferred(outcome: Outcome) -> bool:
    return bool(outcome.of("wants to be asked later")["history"])


@pytest.mark.parametrize(("kind", "words"), [(kind, words) for kind, (_, words) in LOADING.items()], ids=[*LOADING])
def test_a_plugin_that_cannot_be_loaded_is_told_with_its_reason_and_its_cure(
    outcome: Outcome, kind: str, words: str
) -> None:
    told = outcome.plugins[name_of(kind)]
    assert told["state"] == "broken"
    assert words in told["reason"]
    assert told["cure"]


@pytest.mark.parametrize(
    ("kind", "state", "told"),
    [(kind, *row[1:]) for kind, row in HANDLERS.items()],
    ids=HANDLERS,
)
def test_a_handler_that_misbehaves_costs_its_own_transaction_which_says_why(
    outcome: Outcome, kind: str, state: str, told: str
) -> None:
    transaction = outcome.of(kind)
    error = transaction.get("error") or transaction["history"][-1].get("error") or {}
    assert (transaction["state"], transaction["data"]) == (state, {"name": kind}), outcome.told(kind)
    assert told in f"{error.get('type', '')}: {error.get('message', '')}", transaction
    assert len(json.dumps(transaction, default=str)) < 64 * 1024


@pytest.mark.parametrize("kind", IN_SESSION)
def test_what_is_written_in_a_session_is_there_exactly_when_that_is_done(outcome: Outcome, kind: str) -> None:
    written = outcome.site.database["Effects"].count_documents({"_id": outcome.ids[kind]})
    assert written == (outcome.of(kind)["state"] == "done")


def test_beside_them_all_the_plugin_that_is_well_does_its_work(outcome: Outcome) -> None:
    assert outcome.plugins["well"]["state"] == "ok"
    assert outcome.site.database["Q"].count_documents({"type": "well", "state": "done"}) == 50


def test_a_type_without_a_handler_is_refused_at_the_door_and_waits_uncharged_in_the_queue(outcome: Outcome) -> None:
    status, body, _ = outcome.refused
    assert (status, body["code"]) == (400, "unknown_type")
    waiting = outcome.of("nobody's")
    assert (waiting["state"], waiting["attempts"]) == ("queued", 0)


def test_everything_stops_in_good_order_all_the_same(outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.up.told()


def test_no_process_is_left(outcome: Outcome) -> None:
    outcome.up.leaves_nothing()
    mark = f"left in {outcome.site.folder}"
    assert [
        process.pid for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or [])
    ] == []


def test_two_plugins_that_claim_one_type_refuse_the_start(make_site: Callable[[], Any]) -> None:
    site = make_site()
    site.plugin("one", WELL)
    site.plugin("two", WELL)
    started = site.start("work")
    assert started.ends(90) == 2
    assert "acme-one" in started.log
    assert "acme-two" in started.log
    assert "routes" in started.log
    site.close()


def test_two_distributions_with_a_plugin_of_one_name_are_told_and_not_loaded(
    make_site: Callable[[], Any],
) -> None:
    site = make_site()
    site.plugin("twin", WELL)
    other = site.packages / "zeta_twin-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: zeta-twin\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[transqueue.plugins]\ntwin = acme_twin\n")
    listed = site.start("plugins", "--json")
    assert listed.ends(90) == 1
    (twin,) = [one for one in json.loads(listed.out)["plugins"] if one["name"] == "twin"]
    assert twin["state"] == "broken"
    assert "zeta-twin" in twin["reason"]
    site.close()
