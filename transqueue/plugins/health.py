"""What a plugin says of its own health, for `transqueue doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Config
from ..hookspecs import Check
from .isolation import isolated, told
from .load import load_one
from .secrets import masked

HOOK = "transqueue_health_checks"
PHASE = "health"


@dataclass(frozen=True, slots=True)
class Health:
    """One check of a plugin: what is wrong, or nothing, and the cure."""

    check: str
    trouble: str = ""
    cure: str = ""


def examined(name: str, config: Config) -> list[Health]:
    """Load one plugin here and run its checks.

    Raises:
        PluginBroken: it cannot be loaded, or its hook fails.
    """
    plugin = load_one(name, config)
    with isolated(name, PHASE, "Report it to the plugin's author", plugin.secrets):
        found = [check for checks in plugin.call(HOOK, config=plugin.config) for check in checks]
        for check in found:
            if not isinstance(check, Check):
                raise TypeError(f"{HOOK} must return Check values, not {check!r}")
    return [_run(check, plugin.secrets) for check in found]


def _run(check: Check, secrets: tuple[str, ...]) -> Health:
    try:
        check.run()
    except (Exception, SystemExit) as error:
        return Health(check.name, masked(told(error), secrets), check.cure)
    return Health(check.name)
