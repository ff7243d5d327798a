"""The API key that commands show: where it comes from, and what is refused as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from transqueue.cli.credential import VARIABLE, api_key, authorization

KEY = "tq_0123456789ab_" + "0" * 64


def test_it_comes_from_the_file_else_from_the_environment_else_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    assert api_key(file, {VARIABLE: "another"}) == KEY
    assert api_key(None, {VARIABLE: f" {KEY}\n"}) == KEY
    assert api_key(None, {}) is None
    assert authorization(KEY) == {"Authorization": f"Bearer {KEY}"}
    assert authorization(None) == {}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_may_read_is_no_secret(
    tmp_path: Path, mode: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(mode)
    with pytest.raises(SystemExit) as ended:
        api_key(file, {})
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "chmod 600" in told
    assert KEY not in told


@pytest.mark.parametrize("text", ["two words", "a\nb", "caf\xe9", "\x7f"])
def test_what_cannot_be_sent_as_a_key_ends_the_command(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        api_key(None, {VARIABLE: text})
    assert ended.value.code == 2
    assert text not in capsys.readouterr().err
