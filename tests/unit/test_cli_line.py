"""The command line before a command sees it: `--config` anywhere, and exit codes for troubles with a name."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from pymongo.errors import ServerSelectionTimeoutError

from transqueue import errors
from transqueue.cli import COMMANDS, root, take_common
from transqueue.cli.setup import COULD_NOT_ASK, NO, WRONG, Setup, api_url, explained
from transqueue.config import ApiConfig, Config
from transqueue.plugins.enabled import enabled

FITS = 65  # characters of what a command does, beside its name on a terminal of 80


@pytest.mark.parametrize(
    ("line", "file", "rest"),
    [
        (["ls"], None, ["ls"]),
        (["--config", "a", "ls", "--json"], "a", ["ls", "--json"]),
        (["ls", "--config", "a", "--json"], "a", ["ls", "--json"]),
        (["ls", "--json", "--config=a=b"], "a=b", ["ls", "--json"]),
        (["ls", "--config", "a", "--config", "b"], "b", ["ls"]),
        (["submit", "greet", "--", "--config", "a"], None, ["submit", "greet", "--", "--config", "a"]),
    ],
)
def test_config_is_taken_out_wherever_it_stands(line: list[str], file: str | None, rest: list[str]) -> None:
    found = take_common(line)
    assert (found.config_file, found.rest, found.without) == (file, rest, [])


@pytest.mark.parametrize(
    ("line", "without", "rest"),
    [
        (["--without", "a", "up"], ["a"], ["up"]),
        (["up", "--without", "a", "--without=b"], ["a", "b"], ["up"]),
        (["ls", "--", "--without", "a"], [], ["ls", "--", "--without", "a"]),
    ],
)
def test_without_is_taken_out_wherever_it_stands(line: list[str], without: list[str], rest: list[str]) -> None:
    found = take_common(line)
    assert (found.without, found.rest, found.config_file) == (without, rest, None)


def test_plugins_are_left_out_by_the_line_and_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("plugins: {a: {}, b: {}}\ntransaction_module: nightly\n")
    file.chmod(0o600)
    config = Setup(str(file), ["b", "transaction_module"]).config
    assert enabled(config) == ["a"]
    with pytest.raises(click.UsageError, match=r"--without bb: .* names no such plugin; did you mean 'b'\?"):
        _ = Setup(str(file), ["bb"]).config


def test_an_option_without_its_value_is_wrong_usage() -> None:
    for option in ("--config", "--without"):
        with pytest.raises(click.UsageError, match=f"{option} needs"):
            take_common(["ls", option])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("no"), WRONG),
        (errors.ConfigInvalid("config.yaml", [errors.Problem(1, 2, "api", "no")]), WRONG),
        (errors.ClaimConflict("two"), WRONG),
        (errors.TopologyRefused(), WRONG),
        (errors.PluginBroken("ledger", "import", "no", "Install it"), WRONG),
        (errors.MongodNotStarted("no", "Install it"), COULD_NOT_ASK),
        (errors.AddressTaken("5000"), COULD_NOT_ASK),
        (errors.QueueUnavailable("away"), COULD_NOT_ASK),
        (ServerSelectionTimeoutError("away"), COULD_NOT_ASK),
        (errors.TransQueueError("no"), NO),
    ],
)
def test_a_trouble_with_a_name_ends_with_a_sentence_and_its_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, explained():
        raise error
    assert ended.value.code == code
    assert capsys.readouterr().err.strip()


@pytest.mark.parametrize(("host", "url"), [("127.0.0.1", "http://127.0.0.1:5000"), ("::1", "http://[::1]:5000")])
def test_the_url_of_the_api_can_be_asked(host: str, url: str) -> None:
    assert api_url(Config(api=ApiConfig(host=host))) == url


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_that_help_has_for_a_command_begins_as_the_commands_own_help(name: str) -> None:
    command = root.get_command(click.Context(root), name)
    assert command is not None
    line, own = COMMANDS[name][1], command.help or ""
    assert line.split()[:2] == own.split()[:2]
    assert len(line) <= FITS
