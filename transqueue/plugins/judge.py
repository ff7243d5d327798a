"""What `transqueue check` says of the plugins: every mistake in their sections, routes and claims, with its place."""

from __future__ import annotations

from ..config import Config
from ..errors import ClaimConflict, ConfigInvalid, PluginBroken, Problem
from . import routes, transaction_module
from .enabled import load_enabled


def judge_plugins(config: Config) -> list[Problem]:
    """Load every enabled plugin in this process, and return all that is wrong; nothing is wrong: an empty list."""
    loaded = load_enabled(config)
    problems = [problem for error in loaded.broken.values() for problem in _problems(config, error)]
    try:
        routes.settle(config, loaded.plugins, loaded.broken, {})
    except ConfigInvalid as error:
        problems += error.problems
    except ClaimConflict as error:
        problems.append(config.problem("routes", str(error)))
    return sorted(problems)


def _problems(config: Config, error: PluginBroken) -> list[Problem]:
    path = error.name if error.name == transaction_module.NAME else f"plugins.{error.name}"
    message = f"{error.phase}: {error.reason}. {error.cure}"
    return list(error.problems) or [config.problem(path, message)]
