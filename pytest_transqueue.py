"""Fixtures for tests of plugins: pytest finds them as soon as TransQueue is installed.

It is loaded in every pytest run of its environment, so it imports nothing but pytest; `transqueue.testing` comes with
the first test that asks for it.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from importlib import import_module
from typing import Any

import pytest


@pytest.fixture
def tq_config() -> Mapping[str, Any]:
    """The configuration of `tq` and `tq_mongod`, as in config.yaml. Override it; what is left out has its default.

    Where it names no `plugins`, those of the nearest pyproject.toml are enabled, installed or not.
    """
    return {}


@pytest.fixture
def make_tq(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """The function `make_tq(config=None, *, provides=None, queue=None)`: a `transqueue.testing.Kit`, closed at the end.

    `provides` are plugins of this test alone, by name: each a module, or a list of handlers.
    """
    with ExitStack() as opened:

        def make(config: Mapping[str, Any] | None = None, **more: Any) -> Any:
            return opened.enter_context(_kit(request, config, more, import_module("transqueue.testing").Kit))

        yield make


@pytest.fixture
def tq(make_tq: Callable[..., Any], tq_config: Mapping[str, Any]) -> Any:
    """A whole TransQueue in this process, with the project's plugin: a `transqueue.testing.Kit` in memory."""
    return make_tq(tq_config)


@pytest.fixture(scope="session")
def tq_mongod_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of one mongod for the whole run. Without one the test fails, and says what to install."""
    real = import_module("transqueue.testing.real")
    with ExitStack() as opened:
        try:
            uri = opened.enter_context(real.test_mongod(tmp_path_factory.mktemp("mongod")))
        except real.MongodNotStarted as error:
            pytest.fail(f"tq_mongod needs a real MongoDB: {error}", pytrace=False)
        yield uri


@pytest.fixture
def make_tq_mongod(request: pytest.FixtureRequest, tq_mongod_uri: str) -> Iterator[Callable[..., Any]]:
    """As `make_tq`, each on a database of its own in a real MongoDB."""
    on = import_module("transqueue.testing.real").kit_on
    with ExitStack() as opened:

        def make(config: Mapping[str, Any] | None = None, **more: Any) -> Any:
            return opened.enter_context(_kit(request, config, more, lambda *a, **b: on(tq_mongod_uri, *a, **b)))

        yield make


@pytest.fixture
def tq_mongod(make_tq_mongod: Callable[..., Any], tq_config: Mapping[str, Any]) -> Any:
    """As `tq`, on a real MongoDB: for what the database in memory cannot show. Its clock goes with the server's."""
    return make_tq_mongod(tq_config)


def _kit(
    request: pytest.FixtureRequest, config: Mapping[str, Any] | None, more: dict[str, Any], kit: Callable[..., Any]
) -> Any:
    """A kit that knows the plugins of the test's own project."""
    if "available" in more:
        return kit(config, **more)
    own = import_module("transqueue.testing.project").project_plugins(request.path.parent)
    known = ChainMap(own, import_module("transqueue.plugins").installed())
    given = dict(config or {})
    if not more.get("provides"):
        given.setdefault("plugins", {name: {} for name in own})
    return kit(given, available=known, **more)
