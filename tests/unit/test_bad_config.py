"""Bad configurations, one row each: what the file says, and the words in which it is refused, before anything starts.

Where each mistake is told, with line and column, and many more of them, is in `test_config_refused.py`; what only shows
when plugins are loaded is in `test_plugins.py`.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from transqueue.config import read_config
from transqueue.errors import ConfigInvalid

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

ROWS: dict[str, tuple[str | bytes, str]] = {
    # what is in the file                the words
    "empty": ("", "is empty"),
    "comments only": ("# port: 5000\n", "is empty"),
    "a list at the top": ("- api\n", "must be a mapping at the top"),
    "a duplicate key": ("api: {port: 1, port: 2}\n", "is written twice"),
    "port: 010": ("api: {port: 010}\n", "a number must not begin with 0"),
    "mode: 0600": ("mode: 0600\n", "a number must not begin with 0"),
    "1:30 for a time": ("workers: {lease_seconds: 1:30}\n", "must be a number of seconds, not text"),
    "22:22:22 for a time": ("workers: {lease_seconds: 22:22:22}\n", "must be a number of seconds, not text"),
    "90s for a time": ("workers: {lease_seconds: 90s}\n", "must be a number of seconds, not text"),
    "1_000": ("api: {port: 1_000}\n", "must be a whole number, not text"),
    "1e3": ("api: {port: 1e3}\n", "must be a whole number"),
    "yes": ("plugins: {ledger: {enabled: yes}}\n", "must be true or false"),
    "no": ("plugins: {ledger: {enabled: no}}\n", "must be true or false"),
    "on": ("plugins: {ledger: {enabled: on}}\n", "must be true or false"),
    "off": ("plugins: {ledger: {enabled: off}}\n", "must be true or false"),
    ".nan": ("workers: {lease_seconds: .nan}\n", "must be finite"),
    ".inf": ("workers: {lease_seconds: .inf}\n", "must be finite"),
    "negative workers": ("workers: {processes: -1}\n", "must be from 1 to 512"),
    "no lease": ("workers: {lease_seconds: 0}\n", "must be from 5 to 3600"),
    "10^9 workers": ("workers: {processes: 1000000000}\n", "must be from 1 to 512"),
    '"27017" quoted': ('api: {port: "27017"}\n', "must be a whole number, not text: remove the quotes"),
    "${UNSET}": ('mongodb: {uri: "${UNSET}"}\n', "the environment variable UNSET is not set"),
    "${1NVALID}": ('data_dir: "${1NVALID}"\n', "must be followed by the name of an environment variable"),
    "!!python": ("data_dir: !!python/object/apply:os.system [id]\n", "tags are not allowed"),
    "!!binary": ("data_dir: !!binary aGk=\n", "tags are not allowed"),
    "!!set": ("routes: !!set {a}\n", "tags are not allowed"),
    "a date": ("data_dir: 2026-12-01\n", "a date must stand in quotes"),
    "a tab": ("api:\n\tport: 1\n", "this is not YAML"),
    "unclosed": ("api: {port: 1\n", "this is not YAML"),
    "a NUL": ("api: {}\n# \0\n", "this character is not allowed"),
    "latin-1": ("# café\n".encode("latin-1"), "is not UTF-8"),
    "two documents": ("api: {}\n---\napi: {}\n", "a second document begins here"),
    "a 5,000-digit integer": (f"api: {{port: {'9' * 5000}}}\n", "the number is out of range"),
    "nesting 3,000": ("a: " + "[" * 3000, "nested more than 32 deep"),
    "aliases": ("data_dir: &a x\ntransaction_module: *a\n", "aliases are not allowed"),
    "a billion laughs": (LAUGHS, "anchors are not allowed"),
    "more than 256 KiB": ("#" * (256 * 1024 + 1), "is larger than 256 KiB"),
    "w=1": ("mongodb: {uri: 'mongodb://db/?w=1'}\n", "must not weaken the write concern"),
    "journal off": ("mongodb: {uri: 'mongodb://db/?journal=false'}\n", "must not weaken the write concern"),
    "a lease shorter than its renewals need": ("workers: {lease_seconds: 1}\n", "must be from 5 to 3600"),
    "a handler's limit of two days": (
        "plugins: {ledger: {handlers: {deposit: {timeout_seconds: 172800}}}}\n",
        "must be more than 0 and at most 86400",
    ),
    "an unknown plugin in a route": (
        "plugins: {ledger: {}}\nroutes: {deposit: leger}\n",
        "no plugin 'leger' is listed under 'plugins:'; did you mean 'ledger'?",
    ),
    "an unknown option": ("api: {prot: 5000}\n", "unknown key; did you mean 'port'?"),
    "an unknown section": ("worker: {processes: 2}\n", "unknown key; did you mean 'workers'?"),
    "a secret that all may read": (
        "mongodb: {uri: 'mongodb://app:s3cret@db/?replicaSet=rs'}\n",
        "holds a password in a file that every account may read",
    ),
}


def refused(file: Path) -> str:
    with pytest.raises(ConfigInvalid) as caught:
        read_config(file, {})
    return str(caught.value)


@pytest.mark.parametrize(("content", "words"), ROWS.values(), ids=ROWS)
def test_a_bad_configuration_is_refused_in_words_at_once(tmp_path: Path, content: str | bytes, words: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    file.chmod(0o644)
    began = time.monotonic()
    told = refused(file)
    assert words in told
    assert "Traceback" not in told
    assert "s3cret" not in told
    assert time.monotonic() - began < 10


def test_a_missing_file_a_folder_and_one_that_everybody_may_change_are_refused(tmp_path: Path) -> None:
    assert "`transqueue init` writes one" in refused(tmp_path / "none.yaml")
    assert "is a directory" in refused(tmp_path)
    open_to_all = tmp_path / "config.yaml"
    open_to_all.write_text("api: {}\n")
    open_to_all.chmod(0o666)
    assert "chmod o-w" in refused(open_to_all)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("api: {}\n")

    def forbidden(*_: object, **__: object) -> int:  # root may read every file, so the system's word is given here
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("os.open", forbidden)
    assert "cannot be read: Permission denied" in refused(file)
