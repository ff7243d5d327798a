"""What one check found: the value that the checks of `doctor` give and that it prints."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check, what it found, and the cure when it is not ok."""

    check: str
    verdict: Verdict
    message: str
    cure: str = ""


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, message)


def warning(check: str, message: str, cure: str) -> Finding:
    """It works, but somebody should look."""
    return Finding(check, Verdict.WARNING, message, cure)


def wrong(check: str, message: str, cure: str = "") -> Finding:
    """It does not work."""
    return Finding(check, Verdict.WRONG, message, cure)
