"""`plugins enable` and `disable` edit config.yaml, keep all else in it, and write only what passes."""

from __future__ import annotations

import difflib

import pytest
from click.testing import CliRunner

from transqueue.cli import root
from transqueue.cli.setup import Setup
from transqueue.config.default import DEFAULT_CONFIG
from transqueue.errors import ClaimConflict, ConfigInvalid, PluginBroken

CLASH = """
from transqueue import handler
@handler("greet")
def rival(transaction, context):
    "Greet too."
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "config.yaml"


@pytest.fixture
def switch(file):
    """The function `switch(text, *arguments)`: run `transqueue plugins …` on a file; the lines that it changed."""

    def run(text, *arguments, code=0):
        file.write_text(text)
        done = CliRunner().invoke(root, ["plugins", *arguments], obj=Setup(str(file)), catch_exceptions=False)
        assert done.exit_code == code, done.output
        told = [line for line in difflib.ndiff(text.splitlines(), file.read_text().splitlines()) if line[0] in "+-"]
        return told, done.output

    return run


def test_the_default_file_keeps_every_comment(switch):
    changed, told = switch(DEFAULT_CONFIG, "disable", "greet")
    assert changed == ["-     enabled: true", "+     enabled: false"]
    assert "greet is disabled" in told
    assert "wait" in told


def test_a_plugin_that_is_not_listed_is_added(switch):
    text = "# mine\nplugins:  # in use\n  ledger: {enabled: true}   # money\n\n# the end\n"
    changed, told = switch(text, "enable", "greet")
    assert changed == ["+   greet:", "+     enabled: true"]
    assert "greet is enabled" in told
    assert "greet." in told


@pytest.mark.parametrize("text", ["plugins: {}\n", "data_dir: here\n"])
def test_the_first_plugin_is_added(switch, file, text):
    switch(text, "enable", "greet")
    assert Setup(str(file)).config.plugins["greet"].enabled


def test_a_section_stays_when_it_is_switched(switch, file):
    text = "plugins:\n  greet:\n    enabled: false  # for now\n    handlers:\n      greet: {max_attempts: 2}\n"
    changed, _ = switch(text, "enable", "greet")
    assert [line.split() for line in changed] == [
        ["-", "enabled:", "false", "#", "for", "now"],
        ["+", "enabled:", "true", "#", "for", "now"],
    ]
    switch(file.read_text(), "disable", "greet")
    assert file.read_text().split() == text.split()


def test_what_is_so_already_changes_nothing(switch):
    changed, told = switch("plugins: {greet: {}}\n", "enable", "greet")
    assert (changed, "enabled already" in told) == ([], True)
    changed, told = switch("plugins: {greet: {enabled: false}}\n", "disable", "greet")
    assert (changed, "disabled already" in told) == ([], True)


def test_a_name_that_nobody_has_is_refused_with_the_nearest(switch):
    changed, told = switch("plugins: {}\n", "enable", "gret", code=2)
    assert changed == []
    assert "did you mean 'greet'" in told
    changed, told = switch("plugins: {greet: {}}\n", "disable", "gret", code=2)
    assert (changed, "did you mean 'greet'" in told) == ([], True)


def test_a_plugin_that_does_not_load_is_not_enabled(switch, file, tmp_path):
    text = "plugins:\n  greet: {enabled: false, config: {colour: red}}\n"
    with pytest.raises(PluginBroken, match="colour"):
        switch(text, "enable", "greet")
    assert file.read_text() == text
    assert [one.name for one in tmp_path.iterdir()] == ["config.yaml"]


def test_a_second_claim_is_refused_with_the_line_that_settles_it(switch, file, tmp_path, monkeypatch):
    packages = tmp_path / "packages"
    (packages / "acme_rival-1.0.dist-info").mkdir(parents=True)
    (packages / "acme_rival.py").write_text(CLASH)
    (packages / "acme_rival-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-rival\nVersion: 1.0\n"
    )
    (packages / "acme_rival-1.0.dist-info" / "entry_points.txt").write_text("[transqueue.plugins]\nrival=acme_rival\n")
    monkeypatch.syspath_prepend(packages)
    text = "plugins: {greet: {}}\n"
    with pytest.raises(ClaimConflict, match="routes"):
        switch(text, "enable", "rival")
    assert file.read_text() == text


def test_a_file_that_is_wrong_already_is_left_alone(switch, file):
    with pytest.raises(ConfigInvalid):
        switch("plugins: {greet: {enabled: perhaps}}\n", "enable", "ledger")
    assert "perhaps" in file.read_text()


def test_who_may_read_the_file_stays_as_it_was(switch, file):
    file.touch()
    file.chmod(0o600)
    switch("plugins: {}\n", "enable", "greet")
    assert file.stat().st_mode & 0o777 == 0o600
