"""What every plugin owes to those who submit to it and to those who run it, as tests that an author subclasses.

    from transqueue.testing import PluginContract

    class TestContract(PluginContract):
        plugin = "greet"

Each test says in a sentence what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any, ClassVar

from marshmallow import Schema

from ..errors import SubmissionRefused
from ..handlers import Handler
from ..plugins import Found, load_one
from ..transaction import State
from .import_watch import watch_loading
from .kit import Kit

IMPORT_SECONDS = 2.0  # of the processor's time: every worker pays it at each start
DISTRIBUTION = "transqueue-"
DECLARING = {"transqueue_config_schema", "transqueue_handlers"}  # which alone do nothing


class PluginContract:
    """The tests of the contract. Give `plugin`, and more where the defaults do not fit.

    Attributes:
        plugin: its name, the entry point's.
        config: its own section, where it needs one.
        examples: data by type, in place of the example that its schema makes; types of a family need one.
        outside: types whose handlers need something that tests have not: they are not run.
    """

    plugin: ClassVar[str]
    config: ClassVar[Mapping[str, Any]] = {}
    examples: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    outside: ClassVar[Collection[str]] = ()

    def test_it_loads_with_its_configuration(self, make_tq: Callable[..., Kit]) -> None:
        """Found, imported, hooks well named, configuration well, handlers collected."""
        kit = self._kit(make_tq)
        hooks = {*load_one(self.plugin, kit.config, available=kit.available).implemented()} - DECLARING
        claim(
            bool(self._handlers(kit) or hooks),
            f"plugin {self.plugin!r} claims no transaction type, and no hook of it does anything",
        )

    def test_its_import_is_quick_and_does_nothing_else(self, make_tq: Callable[..., Kit]) -> None:
        """Importing costs little and makes no input or output, nor do the hooks that declare what there is.

        That belongs into `transqueue_startup`.
        """
        kit = self._kit(make_tq)
        found = kit.available[self.plugin]
        module, seen = found.module, watch_loading(found, kit.config, dict(self.config))
        claim(not seen.doings, f"importing {module} does more than define things: {'; '.join(seen.doings)}")
        claim(not seen.declaring, f"asking {self.plugin!r} for what it declares does more: {'; '.join(seen.declaring)}")
        claim(
            seen.seconds <= IMPORT_SECONDS,
            f"importing {module} takes {seen.seconds:.1f} s of the processor, at most {IMPORT_SECONDS:g} are fine",
        )

    def test_its_handlers_are_documented(self, make_tq: Callable[..., Kit]) -> None:
        """Each handler has a docstring: its first line is what submitters see."""
        for handler in self._handlers(self._kit(make_tq)):
            claim(bool(handler.summary), f"the handler of {handler.type!r} has no docstring")

    def test_its_options_are_documented(self, make_tq: Callable[..., Kit]) -> None:
        """Each option has `metadata={"description": ...}`: `transqueue plugins show` prints it."""
        for name, field in _options(self._kit(make_tq), self.plugin):
            claim(bool(field.metadata.get("description")), f"the option {name!r} has no description in its metadata")

    def test_its_distribution_is_documented(self, make_tq: Callable[..., Kit]) -> None:
        """An installed distribution says what it is, in a summary and a README."""
        found = self._found(make_tq)
        try:
            told = metadata(found.distribution)
        except PackageNotFoundError:
            return  # it is tested from its folder
        claim(bool(told["Summary"]), f"{found.distribution} has no description in pyproject.toml")
        text = told.get("Description") or told.get_payload()  # type: ignore[attr-defined]
        claim(bool(text), f"{found.distribution} has no readme in pyproject.toml")

    def test_its_schemas_can_be_described(self, make_tq: Callable[..., Kit]) -> None:
        """Each schema comes out in OpenAPI, so that submitters can read what to send."""
        kit = self._kit(make_tq)
        described = _described(kit)
        failed = [f"{event.facts['type']}: {event.facts['error']}" for event in kit.events if "failed" in event.name]
        claim(not failed, f"these schemas cannot be described: {'; '.join(failed)}")
        for handler in self._handlers(kit):
            claim(_component(handler) in described, f"OpenAPI has no {handler.type!r}")

    def test_its_examples_are_accepted(self, make_tq: Callable[..., Kit]) -> None:
        """What the documentation shows as an example of each type passes the door."""
        kit = self._kit(make_tq)
        for type, data in self._examples(kit).items():
            try:
                kit.submit(type, data)
            except SubmissionRefused as error:
                raise AssertionError(
                    f"the example of {type!r}, {data}, is refused: {error}. Give its fields "
                    'metadata={"example": ...}, or the test `examples`'
                ) from error

    def test_its_examples_end_well(self, make_tq: Callable[..., Kit]) -> None:
        """One attempt with each example completes with a JSON result, is rejected, or asks for later."""
        kit = self._kit(make_tq)
        for type, data in self._examples(kit).items():
            if type in self.outside:
                continue
            for one in kit.transactions():
                kit.queue.cancel(one.id)  # what the last example enqueued might go before this one
            done = kit.perform(type, data)
            later = done.state is State.QUEUED and (done.error or "").startswith("RetryLater")
            claim(
                done.state in (State.DONE, State.REJECTED) or later,
                f"an attempt of {type!r} with the example {data} fails: {done.error}. Where it needs something that "
                "tests have not, list the type in `outside`",
            )

    def _kit(self, make_tq: Callable[..., Kit]) -> Kit:
        return make_tq({"plugins": {self.plugin: {"config": dict(self.config)}}})

    def _found(self, make_tq: Callable[..., Kit]) -> Found:
        return self._kit(make_tq).available[self.plugin]

    def _handlers(self, kit: Kit) -> list[Handler]:
        return [handler for handler in kit.types.values() if handler.plugin == self.plugin]

    def _examples(self, kit: Kit) -> dict[str, Mapping[str, Any]]:
        shown = _described(kit)
        exact = [handler for handler in self._handlers(kit) if not handler.is_family]
        made = {handler.type: shown[_component(handler)]["examples"][0]["data"] for handler in exact}
        return {**made, **self.examples}


def claim(well: bool, otherwise: str) -> None:
    """Fail with a sentence unless all is well.

    Raises:
        AssertionError: it is not.
    """
    if not well:
        raise AssertionError(otherwise)


def _described(kit: Kit) -> dict[str, Any]:
    """The components of the door's OpenAPI document."""
    components: dict[str, Any] = json.loads(kit.client.get("/openapi.json").data)["components"]["schemas"]
    return components


def _component(handler: Handler) -> str:
    return f"{handler.type.replace('*', '')}.transaction"


def _options(kit: Kit, name: str) -> list[tuple[str, Any]]:
    """The options of a plugin's own section, with their Marshmallow fields."""
    answers = load_one(name, kit.config, available=kit.available).call("transqueue_config_schema")
    schema = answers[0]() if answers and isinstance(answers[0], type) else next(iter(answers), None)
    return list(schema.fields.items()) if isinstance(schema, Schema) else []
