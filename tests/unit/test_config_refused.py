"""Bad input: every row is what somebody writes into config.yaml, and where and what they are told."""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transqueue.config import Config, read_config
from transqueue.config.default import DEFAULT_CONFIG
from transqueue.config.source import MAX_BYTES
from transqueue.errors import ConfigInvalid, Problem

PORT = "api:\n  port: "
PLUGIN = "plugins:\n  ledger:\n    "
OVERRIDE = PLUGIN + "handlers:\n      deposit:\n        "


def refusal(file: Path, content: str | bytes, mode: int = 0o600, **environ: str) -> tuple[Problem, ...]:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    file.chmod(mode)
    with pytest.raises(ConfigInvalid) as caught:
        read_config(file, environ)
    return caught.value.problems


@pytest.fixture
def file(tmp_path):
    return tmp_path / "config.yaml"


ROWS = [
    # the file as a whole
    ("empty", "", "1:1", "", "is empty; `transqueue init` writes a commented one"),
    ("comments only", "# nothing\n", "1:1", "", "is empty"),
    ("a document mark only", "---\n", "2:1", "", "is empty"),
    ("a list at the top", "- a\n- b\n", "1:1", "", "must be a mapping at the top"),
    ("a text at the top", "hello\n", "1:1", "", "must be a mapping at the top"),
    ("two documents", "api: {}\n---\napi: {}\n", "2:1", "", "a second document begins here"),
    ("a directive of YAML 1.1", "%YAML 1.1\n---\napi: {}\n", "2:1", "", "directives are not allowed"),
    ("too large", "#" * (MAX_BYTES + 1), "0:0", "", "is larger than 256 KiB"),
    ("latin-1", "# \n# caf\xe9\n".encode("latin-1"), "2:6", "", "is not UTF-8: byte 0xE9"),
    ("UTF-16", "api: {}\n".encode("utf-16"), "1:1", "", "is not UTF-8"),
    ("a NUL", "api: {}\n# \0\n", "2:3", "", "this character is not allowed: U+0000"),
    ("nested 3,000 deep", "a: " + "[" * 3000, "1:35", "", "nested more than 32 deep"),
    ("a list nested 3,000 deep", "- " * 3000, "1:65", "", "nested more than 32 deep"),
    ("keys nested 3,000 deep", "? " * 3000, "1:65", "", "nested more than 32 deep"),
    # grammar
    ("a tab", "api:\n\tport: 1\n", "2:1", "", "this is not YAML: "),
    ("unclosed", "api: {port: 1\n", "2:1", "", "this is not YAML: "),
    ("an unclosed quote", "data_dir: 'x\n", "2:1", "", "this is not YAML: "),
    ("two colons", "data_dir: a: b\n", "1:12", "", "this is not YAML: mapping values are not allowed here"),
    ("a variable without quotes in { }", "api: {port: ${P}}\n", "1:14", "", 'write "${NAME}" with quotes'),
    ("no such code point", 'data_dir: "\\U00110000"\n', "0:0", "", "cannot be read as YAML: "),
    # YAML that means too much
    ("a duplicate key", "api: {}\nworkers: {}\napi: {}\n", "3:1", "api", "is written twice; the first is on line 1"),
    ("a duplicate port", PORT + "1\n  port: 2\n", "3:3", "api.port", "is written twice; the first is on line 2"),
    ("an anchor", PORT + "&p 5000\n", "2:9", "api.port", "anchors are not allowed"),
    ("an alias", PORT + "*p\n", "2:9", "api.port", "aliases are not allowed"),
    ("an alias as a key", "*p : 1\n", "1:1", "", "a key must be text"),
    ("a python tag", PORT + "!!python/object:os.system x\n", "2:9", "api.port", "tags are not allowed"),
    ("a binary tag", "data_dir: !!binary aGk=\n", "1:11", "data_dir", "tags are not allowed"),
    ("a set", "routes: !!set {a}\n", "1:9", "routes", "tags are not allowed"),
    ("a tag of its own", "routes: !x {}\n", "1:9", "routes", "tags are not allowed"),
    ("the tag !", "data_dir: ! x\n", "1:11", "data_dir", "tags are not allowed"),
    ("a date", "data_dir: 2026-12-01\n", "1:11", "data_dir", "a date must stand in quotes"),
    ("a time", "data_dir: 2026-12-01T08:00:00Z\n", "1:11", "data_dir", "a date must stand in quotes"),
    ("a merge key", "api:\n  <<: {port: 1}\n", "2:3", "api.<<", "unknown key"),
    ("a number as a key", "routes: {1: ledger}\n", "1:10", "routes", "a key must be text: put it in quotes"),
    ("true as a key", "routes: {true: ledger}\n", "1:10", "routes", "a key must be text"),
    ("null as a key", "routes: {~: ledger}\n", "1:10", "routes", "a key must be text"),
    ("an empty key", "routes: {'': ledger}\n", "1:10", "routes", "a key must be text"),
    ("a list as a key", "? [a, b]\n: c\n", "1:3", "", "a key must be text"),
    ("half a surrogate pair", 'data_dir: "\\ud800"\n', "1:11", "data_dir", "half of a surrogate pair"),
    # numbers
    ("port: 010", PORT + "010\n", "2:9", "api.port", "a number must not begin with 0"),
    ("mode: 0600", PORT + "0600\n", "2:9", "api.port", "a number must not begin with 0"),
    ("5,000 digits", PORT + "9" * 5000 + "\n", "2:9", "api.port", "the number is out of range: it must fit into 64"),
    ("65 bits", PORT + "9223372036854775808\n", "2:9", "api.port", "the number is out of range"),
    (".nan", "workers: {lease_seconds: .nan}\n", "1:26", "workers.lease_seconds", "must be finite"),
    ("-.inf", "workers: {lease_seconds: -.inf}\n", "1:26", "workers.lease_seconds", "must be finite"),
    ("1e999", "workers: {lease_seconds: 1e999}\n", "1:26", "workers.lease_seconds", "must be finite"),
    ("0 seconds of lease", "workers: {lease_seconds: 0}\n", "1:26", "workers.lease_seconds", "from 5 to 3600, not 0"),
    ("0 seconds to stop", "workers: {stop_seconds: 0}\n", "1:25", "workers.stop_seconds", "more than 0 and at most"),
    ("0 days", "retention: {done_days: 0}\n", "1:24", "retention.done_days", "more than 0 and at most 36500, or never"),
    ("a word for days", "retention: {done_days: forever}\n", "1:24", "retention.done_days", "or never"),
    ("keys for no day", "retention: {idempotency_days: 0}\n", "1:31", "retention.idempotency_days", "from 1 to 36500"),
    ("no such format", "logs: {format: xml}\n", "1:16", "logs.format", "must be 'auto' or 'json' or 'console'"),
    ("negative workers", "workers: {processes: -1}\n", "1:22", "workers.processes", "must be from 1 to 512, not -1"),
    ("10^9 workers", "workers: {processes: 1000000000}\n", "1:22", "workers.processes", "must be from 1 to 512"),
    ("port 65536", PORT + "65536\n", "2:9", "api.port", "must be from 1 to 65535, not 65536"),
    ("no process to answer", "api: {processes: 0}\n", "1:18", "api.processes", "must be from 1 to 64, not 0"),
    ("10^9 to answer", "api: {processes: 1000000000}\n", "1:18", "api.processes", "must be from 1 to 64"),
    ("processes: auto", "api: {processes: auto}\n", "1:18", "api.processes", "must be a whole number, not text"),
    ("no threads", "api: {threads: 0}\n", "1:16", "api.threads", "must be from 1 to 1024, not 0"),
    # types
    ("1:30", PORT + "1:30\n", "2:9", "api.port", "must be a whole number, not text"),
    ("22:22:22", PORT + "22:22:22\n", "2:9", "api.port", "must be a whole number, not text"),
    (
        "90s",
        "workers: {lease_seconds: 90s}\n",
        "1:26",
        "workers.lease_seconds",
        "must be a number of seconds, not text",
    ),
    ("1_000", PORT + "1_000\n", "2:9", "api.port", "must be a whole number, not text"),
    ("1e3", PORT + "1e3\n", "2:9", "api.port", "must be a whole number, not the number 1000.0"),
    ("yes", PLUGIN + "enabled: yes\n", "3:14", "plugins.ledger.enabled", "must be true or false, not text"),
    ("on", PLUGIN + "enabled: on\n", "3:14", "plugins.ledger.enabled", "must be true or false, not text"),
    (
        "1 for true",
        PLUGIN + "enabled: 1\n",
        "3:14",
        "plugins.ledger.enabled",
        "must be true or false, not the number 1",
    ),
    ("true for 1", PORT + "true\n", "2:9", "api.port", "must be a whole number, not true"),
    ('"27017" quoted', PORT + '"27017"\n', "2:9", "api.port", "must be a whole number, not text: remove the quotes"),
    ('"010" quoted', PORT + '"010"\n', "2:9", "api.port", "must be a whole number, not text"),
    ("a list for a number", PORT + "[1]\n", "2:3", "api.port", "must be a whole number, not a list"),
    ("a mapping for a text", "data_dir: {}\n", "1:1", "data_dir", "must be text, not a mapping"),
    ("a number for a text", "default_type: 5\n", "1:15", "default_type", "must be text, not the number 5"),
    ("no value", PORT + "\n", "2:3", "api.port", "has no value"),
    ("a section without a value", "api:\n", "1:1", "api", "has no value"),
    ("plugins without a value", "plugins:\n", "1:1", "plugins", "has no value"),
    ("a plugin without a value", "plugins:\n  ledger:\n", "2:3", "plugins.ledger", "must be a mapping"),
    ("a section that is a list", "api: []\n", "1:1", "api", "must be a mapping"),
    ("plugins as a list", "plugins: [ledger]\n", "1:1", "plugins", "must be a mapping"),
    ("a plugin that is true", "plugins: {ledger: true}\n", "1:19", "plugins.ledger", "must be a mapping"),
    ("a config that is a list", PLUGIN + "config: [1]\n", "3:5", "plugins.ledger.config", "must be a mapping"),
    ("handlers as a text", PLUGIN + "handlers: x\n", "3:15", "plugins.ledger.handlers", "must be a mapping"),
    # unknown keys
    ("a typo at the top", "plugin: {}\n", "1:1", "plugin", "unknown key; did you mean 'plugins'?"),
    ("a typo below", "api:\n  prot: 1\n", "2:3", "api.prot", "unknown key; did you mean 'port'?"),
    ("nothing near", "zebra: 1\n", "1:1", "zebra", "unknown key"),
    ("a key one level too high", "port: 1\n", "1:1", "port", "unknown key; it belongs under 'api:'"),
    (
        "a plugin's setting one level too high",
        PLUGIN + "greeting: Hi\n",
        "3:5",
        "plugins.ledger.greeting",
        "unknown key; a plugin's own setting belongs under 'config:'",
    ),
    (
        "an override two levels too high",
        PLUGIN + "max_attempts: 3\n",
        "3:5",
        "plugins.ledger.max_attempts",
        "unknown key; it belongs under 'handlers:'",
    ),
    ("a typo of a plugin", PLUGIN + "enable: true\n", "3:5", "plugins.ledger.enable", "did you mean 'enabled'?"),
    (
        "a typo of an override",
        OVERRIDE + "timeout: 3\n",
        "5:9",
        "plugins.ledger.handlers.deposit.timeout",
        "unknown key; did you mean 'timeout_seconds'?",
    ),
    (
        "an override that is not the admin's",
        OVERRIDE + "transactional: true\n",
        "5:9",
        "plugins.ledger.handlers.deposit.transactional",
        "unknown key",
    ),
    # names
    ("a family as default", "default_type: a.*\n", "1:15", "default_type", "must be a transaction type"),
    ("129 letters", f"default_type: {'a' * 129}\n", "1:15", "default_type", "must be a transaction type"),
    ("a type with a space", "routes: {a b: ledger}\n", "1:10", "routes.a b", "must be a transaction type"),
    ("a plugin with a slash", "plugins: {a/b: {}}\n", "1:11", "plugins.a/b", "must be a plugin's name"),
    ("a path for a module", "transaction_module: acme/x.py\n", "1:21", "transaction_module", "must be a module"),
    ("a keyword in a module", "transaction_module: acme.import\n", "1:21", "transaction_module", "must be a module"),
    ("a database with a dot", "mongodb: {database: a.b}\n", "1:21", "mongodb.database", "must be a name of 1 to 63"),
    ("no database", "mongodb: {database: ''}\n", "1:21", "mongodb.database", "must be a name of 1 to 63"),
    ("MongoDB's database", "mongodb: {database: admin}\n", "1:21", "mongodb.database", "MongoDB's own databases"),
    ("no data folder", "data_dir: ''\n", "1:11", "data_dir", "must name a folder"),
    ("a home folder", "data_dir: ~/tq\n", "1:11", "data_dir", "write ${HOME}"),
    ("a NUL in a path", 'data_dir: "a\\0b"\n', "1:11", "data_dir", "must not hold line breaks or control characters"),
    ("http for a uri", "mongodb: {uri: 'http://x'}\n", "1:16", "mongodb.uri", "must begin with mongodb://"),
    # what must fit together
    ("an address beyond bounds", "api: {host: 300.0.0.1}\n", "1:13", "api.host", "must be an IP address"),
    ("a host with a port", "api: {host: 'tq.example:80'}\n", "1:13", "api.host", "without a port"),
    ("a URL for a host", "api: {host: 'http://tq.example'}\n", "1:13", "api.host", "must be an IP address"),
    ("no host", "api: {host: ''}\n", "1:13", "api.host", "must be an IP address"),
    ("w=1", "mongodb: {uri: 'mongodb://h/?w=1'}\n", "1:16", "mongodb.uri", "must not weaken the write concern"),
    (
        "journal=false",
        "mongodb: {uri: 'mongodb://h/?w=majority&journal=false'}\n",
        "1:16",
        "mongodb.uri",
        "must not weaken the write concern",
    ),
    (
        "a route to a typo",
        "plugins: {ledger: {}}\nroutes: {deposit: leger}\n",
        "2:19",
        "routes.deposit",
        "no plugin 'leger' is listed under 'plugins:'; did you mean 'ledger'?",
    ),
    (
        "a route to a disabled plugin",
        "plugins: {ledger: {enabled: false}}\nroutes: {deposit: ledger}\n",
        "2:19",
        "routes.deposit",
        "the plugin 'ledger' is not enabled",
    ),
    # overrides: the rules of handlers
    ("no attempts", OVERRIDE + "max_attempts: 0\n", "5:23", "max_attempts", "must be from 1 to 1000, not 0"),
    ("1001 attempts", OVERRIDE + "max_attempts: 1001\n", "5:23", "max_attempts", "must be from 1 to 1000"),
    ("no time", OVERRIDE + "timeout_seconds: 0\n", "5:26", "timeout_seconds", "more than 0 and at most 86400, not 0"),
    ("too much time", OVERRIDE + "timeout_seconds: 86401\n", "5:26", "timeout_seconds", "at most 86400"),
    ("one backoff", OVERRIDE + "backoff_seconds: 5\n", "5:26", "backoff_seconds", "must be a list, [first, longest]"),
    ("half a backoff", OVERRIDE + "backoff_seconds: [5]\n", "5:9", "backoff_seconds", "must be [first, longest] in"),
    ("a falling backoff", OVERRIDE + "backoff_seconds: [5, 4]\n", "5:9", "backoff_seconds", "0 < first <= longest"),
    ("a backoff of texts", OVERRIDE + "backoff_seconds: [a, b]\n", "5:9", "backoff_seconds", "0 < first <= longest"),
    ("after_dead: stop", OVERRIDE + "after_dead: skipp\n", "5:21", "after_dead", "must be 'block' or 'skip'; did you"),
    # the environment
    ("an unset variable", "mongodb: {uri: '${MONGO_URI}'}\n", "1:16", "mongodb.uri", "variable MONGO_URI is not set"),
    ("an unset one inside", "data_dir: a/${B}/c\n", "1:11", "data_dir", "the environment variable B is not set"),
    ("no name", "data_dir: a/${}\n", "1:11", "data_dir", "`${` must be followed by the name"),
    ("a wrong name", "data_dir: ${1A}\n", "1:11", "data_dir", "`${` must be followed by the name"),
    ("no end", "data_dir: ${A\n", "1:11", "data_dir", "`${` must be followed by the name"),
    ("text for a number", PORT + "${TEXT}\n", "2:9", "api.port", "must be a whole number, not text"),
    ("an octal for a number", PORT + "${OCTAL}\n", "2:9", "api.port", "must not begin with 0"),
    ("nothing for a number", PORT + "${EMPTY}\n", "2:9", "api.port", "must be a whole number, not nothing"),
    ("bytes", "data_dir: ${BYTES}\n", "1:11", "data_dir", "the environment variable BYTES is not UTF-8"),
]


@pytest.mark.parametrize(("content", "at", "path", "message"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_one_mistake_gives_one_problem_with_its_place(file, content, at, path, message):
    environ = {"TEXT": "s3cret", "OCTAL": "010", "EMPTY": "", "BYTES": "\udcff"}
    (problem,) = refusal(file, content, **environ)
    assert message in problem.message
    assert f"{problem.line}:{problem.column}" == at
    assert problem.path == path or (path and problem.path == f"plugins.ledger.handlers.deposit.{path}")
    assert "s3cret" not in str(problem)


def test_all_mistakes_come_together_in_the_order_of_the_file(file):
    content = """\
mongodb: {uri: "${UNSET}", databse: x}
api:
  port: "5000"
  port: 010
  host: 0.0.0.0:80
workers: {processes: yes, lease_seconds: 1}
plugins:
  ledger:
    greeting: hi
    handlers: {deposit: {max_attempts: 0, after_dead: never}}
routes: {deposit: legder}
colour: blue
"""
    found = [f"{problem.line} {problem.path}" for problem in refusal(file, content)]
    assert found == [
        "1 mongodb.uri",
        "1 mongodb.databse",
        "3 api.port",
        "4 api.port",
        "4 api.port",
        "5 api.host",
        "6 workers.processes",
        "6 workers.lease_seconds",
        "9 plugins.ledger.greeting",
        "10 plugins.ledger.handlers.deposit.max_attempts",
        "10 plugins.ledger.handlers.deposit.after_dead",
        "11 routes.deposit",
        "12 colour",
    ]


def test_a_refused_value_is_not_judged_a_second_time(file):
    problems = refusal(file, "api: {port: 010, host: '${UNSET}'}\nworkers: {processes: *w}\n")
    assert [problem.path for problem in problems] == ["api.port", "api.host", "workers.processes"]


def test_a_secret_value_is_never_shown(file):
    problems = refusal(file, "mongodb: {uri: s3cret, database: 's3cret s3cret'}\napi: {port: s3cret, host: s3cret/}\n")
    assert len(problems) == 4
    assert not [problem for problem in problems if "s3cret" in str(problem)]


def test_a_missing_file_says_how_to_get_one(file):
    with pytest.raises(ConfigInvalid, match="there is no such file; `transqueue init` writes one"):
        read_config(file, {})


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(ConfigInvalid, match="is a directory, not a file"):
        read_config(tmp_path, {})


def test_a_file_that_cannot_be_opened_is_refused_with_the_systems_reason(file):
    file.symlink_to(file)
    with pytest.raises(ConfigInvalid, match=re.escape(os.strerror(errno.ELOOP))):
        read_config(file, {})


@pytest.mark.parametrize("path", ["config\0.yaml", "config.yaml/config.yaml", "c" * 5000])
def test_a_path_that_cannot_be_is_refused(file, path):
    file.write_text("api: {}\n")
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        read_config(file.parent / path, {})


def test_a_pipe_is_refused_without_waiting_for_its_writer(file):
    os.mkfifo(file)
    with pytest.raises(ConfigInvalid, match="is not a regular file"):
        read_config(file, {})


def test_a_socket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("config.yaml")
        with pytest.raises(ConfigInvalid, match="cannot be read"):
            read_config(Path("config.yaml"), {})


@pytest.mark.parametrize("mode", [0o666, 0o602])
def test_a_file_that_everybody_may_change_is_refused(file, mode):
    (problem,) = refusal(file, "api: {}\n", mode)
    assert "may be changed by every account of this host: run `chmod o-w` on it" in problem.message


def test_a_password_in_a_file_that_everybody_may_read_is_refused(file):
    (problem,) = refusal(file, "mongodb: {uri: 'mongodb://ann:s3cret@db/'}\n", 0o644)
    assert "holds a password in a file that every account may read" in problem.message
    assert (problem.line, problem.path) == (1, "mongodb.uri")


@pytest.mark.parametrize(
    ("uri", "mode"), [("mongodb://ann:s3cret@db/", 0o640), ("mongodb://ann:${PW}@db/", 0o644), ("${URI}", 0o644)]
)
def test_a_password_that_only_some_can_read_is_taken(file, uri, mode):
    file.write_text(f"mongodb: {{uri: '{uri}'}}\n")
    file.chmod(mode)
    config = read_config(file, {"PW": "s3cret", "URI": "mongodb://ann:s3cret@db/"})
    assert config.mongodb.uri == "mongodb://ann:s3cret@db/"


@pytest.mark.parametrize(
    "content",
    [
        "a: " + "[" * 200_000,
        "{" * 200_000,
        "- " * 100_000,
        "a: " + "x " * 100_000,
        "a: '" + "\n\n" * 100_000,
        "".join(f"key{n}: {n}\n" for n in range(15_000)),
        "a: [" + "1," * 100_000 + "]",
        "a: &a [x]\nb: [" + "*a," * 60_000 + "]",
        "#\n" * 120_000 + "a: 1",
    ],
    ids=["[", "{", "-", "words", "lines", "keys", "items", "aliases", "comments"],
)
def test_the_largest_file_is_refused_in_bounded_time(file, content):
    before = time.thread_time()
    assert refusal(file, content)
    assert time.thread_time() - before < 20


WORDS = ["api", "port", "plugins", "ledger", "handlers", "routes", "010", "1e9", ".inf", "true", "${", "${A}", "$${"]
MARKS = [
    ": ",
    "\n",
    "\n  ",
    "- ",
    "? ",
    "---\n",
    "...\n",
    "<<",
    "!!int ",
    "\\U00110000",
    *"[]{},&*!'|>%@`?#~:01\"\\\t\0",
]
LETTERS = ["\ufeff", "\u2028", "\x85", "é", "\U0001f600"]
TOKENS = st.sampled_from([*WORDS, *MARKS, *LETTERS])
ANYTHING = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    st.lists(TOKENS, max_size=40).map(lambda tokens: "".join(tokens).encode()),
    st.tuples(st.integers(0, len(DEFAULT_CONFIG)), st.lists(TOKENS, max_size=4)).map(
        lambda cut: (DEFAULT_CONFIG[: cut[0]] + "".join(cut[1]) + DEFAULT_CONFIG[cut[0] :]).encode()
    ),
)


@settings(max_examples=300, deadline=None)
@given(content=ANYTHING)
@example(content=b'"\\U00110000": 1')
@example(content=b'a: "\\ud800"')
@example(content=b"\xef\xbb\xbf")
@example(content=b"plugins: [1]\nroutes: {a: b}")
def test_any_bytes_give_a_config_or_all_their_problems(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(content)
    file.chmod(0o600)
    outcome = outcome_of(file)
    if isinstance(outcome, ConfigInvalid):
        assert outcome.problems
        assert all(problem.message and problem.line >= 0 for problem in outcome.problems)
        assert str(outcome).encode()


def outcome_of(file: Path) -> Config | ConfigInvalid:
    try:
        return read_config(file, {"A": "1"})
    except ConfigInvalid as invalid:
        return invalid
