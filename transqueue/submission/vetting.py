"""What plugins have to say about submissions: their own options, a refusal, and what is enqueued at the end.

A vetter that fails costs only the submissions that need it: those that give its options and those of its own plugin's
types are refused for now; all others go on without it, and it is told. One that is not working at all is treated alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from marshmallow import RAISE, Schema, ValidationError

from ..config import did_you_mean
from ..draft import Draft
from ..errors import SubmissionRefused
from ..events import Events
from ..outcome import Reject
from ..transaction import OnEnd, Transaction
from .envelope import Options, invalid_data

PARKED_RETRY_SECONDS = 30
MESSAGE_LENGTH = 500

Prepare = Callable[[str, Any], OnEnd]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vetter:
    """One plugin's part in taking submissions in.

    Attributes:
        schema: of `options.<plugin>`; none: it has no options.
        before: its `transqueue_before_enqueue`, with what `schema` loaded, or none.
        broken: why it is not working, else empty; then any option of its may be meant.
    """

    plugin: str
    schema: Schema | None = None
    before: Callable[[Draft, Mapping[str, Any] | None], object] | None = None
    broken: str = ""


def read_options(vetters: Sequence[Vetter], options: Options) -> Mapping[str, Any]:
    """What was given under `options.<plugin>`, as each plugin's schema loads it.

    Raises:
        SubmissionRefused: 400 `invalid_data`, or 503 `handler_unavailable` where the plugin is not working.
    """
    if not options.plugins:
        return {}
    by_name = {vetter.plugin: vetter for vetter in vetters if vetter.schema or vetter.broken}
    unknown = [name for name in options.plugins if name not in by_name]
    if unknown:
        raise invalid_data({"options": {name: [_unknown(name, by_name)] for name in unknown}})
    return {name: _loaded(by_name[name], given) for name, given in options.plugins.items()}


def asked(
    vetters: Sequence[Vetter], transaction: Transaction, options: Mapping[str, Any], prepare: Prepare, events: Events
) -> tuple[OnEnd, ...]:
    """Ask each plugin about one transaction: what they want enqueued at its end.

    Raises:
        SubmissionRefused: one refuses it, or failed and is needed.
    """
    found: list[OnEnd] = []
    for vetter in vetters:
        if vetter.before:
            found += _asked(vetter, transaction, options.get(vetter.plugin), prepare, events)
    return tuple(found)


def _loaded(vetter: Vetter, given: Any) -> Any:
    path = {"options": {vetter.plugin: ["Not a valid object."]}}
    if vetter.schema is None:
        raise unavailable(f"The option {vetter.plugin!r} cannot be given now: {vetter.broken}")
    if not isinstance(given, dict):
        raise invalid_data(path)
    try:
        return vetter.schema.load(deepcopy(given), unknown=RAISE)
    except ValidationError as error:
        raise invalid_data({"options": {vetter.plugin: error.messages}}) from None
    except (Exception, SystemExit) as error:
        raise unavailable(f"The schema of the option {vetter.plugin!r} failed.") from error


def _asked(
    vetter: Vetter, transaction: Transaction, options: Mapping[str, Any] | None, prepare: Prepare, events: Events
) -> list[OnEnd]:
    draft = Draft(transaction)
    try:
        if vetter.before:
            vetter.before(draft, options)
        return [prepare(*pair) for pair in draft.on_end]
    except Reject as refusal:
        message = refusal.reason[:MESSAGE_LENGTH] or f"The plugin {vetter.plugin!r} refuses it."
        raise SubmissionRefused(400, "refused", message) from None
    except (Exception, SystemExit) as error:
        told = {"plugin": vetter.plugin, "hook": "transqueue_before_enqueue", "type": transaction.type}
        events.emit("hook.failed", **told, error=repr(error)[:MESSAGE_LENGTH])
        if options is not None or draft.plugin == vetter.plugin:
            raise unavailable(f"The plugin {vetter.plugin!r} failed; nothing was stored.") from error
        return []


def _unknown(name: str, known: Collection[str]) -> str:
    return f"Unknown field{did_you_mean(name, known) or '.'}"


def unavailable(message: str) -> SubmissionRefused:
    """What it needs is not working now."""
    return SubmissionRefused(503, "handler_unavailable", message, retry_after_seconds=PARKED_RETRY_SECONDS)
