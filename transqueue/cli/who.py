"""Who gives a command, for the audit."""

from __future__ import annotations

import os
import pwd


def by() -> str:
    """`cli:` and the name of the account, as the operating system knows it: the environment can say anything."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"
