"""Whether a changed config.yaml can be put to use while everything runs: judged whole, before anything is touched.

Plugins are looked at in a throw-away process, so one that hangs or crashes on import costs the running set nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..config import Config, read_config
from ..errors import ReloadRefused, TransQueueError
from ..plugins import PluginState
from ..plugins.probe import Probe

FIXED = (  # what the running processes hang on
    *("mongodb", "data_dir"),
    *("api.host", "api.port", "api.processes", "api.threads"),
)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What runs, or could: a configuration, and how its plugins are."""

    config: Config
    states: Sequence[PluginState]

    @property
    def broken(self) -> frozenset[str]:
        """The plugins that do not work."""
        return frozenset(state.name for state in self.states if state.state in ("broken", "missing"))


def judge(running: Ruling) -> Ruling:
    """The file as it is now, if it can take the place of what runs.

    Raises:
        ReloadRefused: it cannot, and why.
    """
    if running.config.file is None:
        raise ReloadRefused("There is no configuration file to read again.")
    try:
        config = replace(read_config(running.config.file, os.environ), logs=running.config.logs)
        _refuse_fixed(running.config, config)
        with Probe(config) as probe:
            states = probe.states()
            found = Ruling(probe.config, states)
    except TransQueueError as error:
        raise ReloadRefused(str(error)) from error
    _refuse_newly_broken(running, found)
    return found


class Judging:
    """`judge` in a thread of its own, so that whoever asks goes on meanwhile."""

    def __init__(self, running: Ruling, wake: Callable[[], None]) -> None:
        self._running, self._wake = running, wake
        self.found: Ruling | None = None
        self.refused: str = ""
        threading.Thread(target=self._judge, name="judging", daemon=True).start()

    @property
    def is_over(self) -> bool:
        """Whether it is known."""
        return bool(self.found or self.refused)

    def _judge(self) -> None:
        try:
            self.found = judge(self._running)
        except TransQueueError as error:
            self.refused = str(error)
        except Exception as error:  # a defect here must not leave the change undecided
            self.refused = f"the configuration could not be judged: {error!r}"
        self._wake()


def _refuse_fixed(running: Config, new: Config) -> None:
    changed = [path for path in FIXED if _at(running, path) != _at(new, path)]
    if changed:
        raise ReloadRefused(f"{', '.join(changed)} cannot change while TransQueue runs: restart it for that.")


def _refuse_newly_broken(running: Ruling, found: Ruling) -> None:
    broken = [state for state in found.states if state.name in found.broken - running.broken]
    if broken:
        told = "; ".join(f"plugin {state.name!r}: {state.phase}: {state.reason}. {state.cure}" for state in broken)
        raise ReloadRefused(f"{told}. What ran before goes on.")


def _at(config: Config, path: str) -> object:
    found: object = config
    for name in path.split("."):
        found = getattr(found, name)
    return found
