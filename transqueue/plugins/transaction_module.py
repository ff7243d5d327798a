"""A plain module that processes `default_type`: `transaction_module` in config.yaml.

The module knows nothing of TransQueue: its `process(transaction)` gets a dict. Here it becomes a part with the hook
`transqueue_handlers`, so it goes through the same table as any plugin.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from decimal import Context, Decimal
from typing import Any

import pluggy
from marshmallow import Schema, ValidationError, fields, validate

from ..config import Config
from ..handlers import Handler
from ..hookspecs import hookimpl
from .find import Found
from .hooks import register
from .isolation import isolated
from .load import Plugin

NAME = "transaction_module"  # where a plugin's name would stand, and its key in config.yaml
FUNCTIONS = ("process", "process_transaction")
CURE = "Correct the module, or leave transaction_module empty in config.yaml"

LIMIT, LAST_DIGIT, EXACT = Decimal(10) ** 15, Decimal("1e-18"), Context(prec=40)  # so that sums are exact


def load_transaction_module(config: Config, manager: pluggy.PluginManager) -> Plugin:
    """The module as a plugin that claims `default_type`.

    Raises:
        PluginBroken: it cannot be imported or has no such function.
    """
    found = Found(NAME, config.transaction_module, "", "")
    with isolated(NAME, "import", CURE):
        function = _function(config)
        part = TransactionModule(config.default_type, function)
        register(manager, NAME, part)
        handlers = {handler.type: handler for handler in part.transqueue_handlers()}
        return Plugin(found=found, config={}, handlers=handlers, parts=(part,), hooks=manager)


class TransactionModule:
    """The hook that the module does not have."""

    def __init__(self, type: str, function: Callable[[dict[str, Any]], Any]) -> None:
        self._type, self._function = type, function

    @hookimpl
    def transqueue_handlers(self) -> Iterable[Handler]:
        claim = Handler(type=self._type, target=_taking_a_dict(self._function), schema=ClassicData(), plugin=NAME)
        return [claim.overridden()]


def _exact_number(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValidationError("Not a valid number.")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or number.copy_abs() >= LIMIT or number != number.quantize(LAST_DIGIT, context=EXACT):
        raise ValidationError("Must be less than 10^15, with no digit below 10^-18.")


class ClassicData(Schema):
    """What the module's function is promised: a username and a number, the number as it was sent."""

    username = fields.String(required=True, validate=validate.Length(min=1), metadata={"example": "user123"})
    value = fields.Raw(required=True, validate=_exact_number, metadata={"example": 150.0, "type": "number"})


def _function(config: Config) -> Callable[[dict[str, Any]], Any]:
    module = _imported(config)
    for name in FUNCTIONS:
        function = getattr(module, name, None)
        if callable(function):
            inspect.signature(function).bind({})
            return function  # type: ignore[no-any-return]
    raise AttributeError(f"module {config.transaction_module!r} has no function process(transaction)")


def _imported(config: Config) -> Any:
    folder = str(config.root)
    if folder not in sys.path:
        sys.path.append(folder)  # last: a file beside config.yaml must not shadow an installed module
    importlib.invalidate_caches()
    return importlib.import_module(config.transaction_module)


def _taking_a_dict(function: Callable[[dict[str, Any]], Any]) -> Callable[[Any, Any], Any]:
    def process(transaction: Any, _context: Any) -> Any:
        return function({**transaction.data, "transaction_id": transaction.id})

    process.__doc__ = inspect.getdoc(function)
    return process
