"""What a plugin provides: every hook, typed, on one page.

A plugin is an installed distribution with an entry point in the group `transqueue.plugins`; the entry point names a
module. Each function of that module marked `@hookimpl` and named like one below is called at the time told there. All
hooks are optional: a module with `@handler` marks needs none. Plugins stand in the order of `plugins:` in config.yaml.

All but `transqueue_run` are called one plugin at a time, so an exception in one is that plugin's problem alone.
`config` is always the plugin's own section of `config.yaml`, checked and with its defaults filled in; a hook may leave
out arguments that it does not need. An argument with a default value is never passed (pluggy's rule). A marked function
whose name or arguments are not below makes the plugin broken; `@hookimpl(optionalhook=True)` marks one that older
versions of TransQueue do not know. A module may say which version of this page it was made for, as
`transqueue_api = "1.0"`: made for a newer one than there is, it is broken, with that reason, before it is imported.

The roles: `api` answers requests, `worker` processes transactions, `client` is a Python application with a
`transqueue.client.Client`. Each is a process of its own that loads the plugins for itself; the supervisor loads none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pluggy
from marshmallow import Schema

from .draft import Draft
from .events import Event
from .handlers import Context, Handler
from .transaction import Transaction

if TYPE_CHECKING:  # only a plugin with commands needs it
    import click

PROJECT = "transqueue"
GROUP = "transqueue.plugins"
API_VERSION = (1, 0)  # of this page: the second number grows with each addition, the first with what breaks plugins

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Role = Literal["api", "worker"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a plugin can say about its health.

    Attributes:
        name: what is looked at, in a word or two.
        run: looks, without arguments; it raises when all is not well, and what it raises says why.
        cure: what to do then.
    """

    name: str
    run: Callable[[], object]
    cure: str = ""


@hookspec
def transqueue_config_schema() -> type[Schema] | Schema:  # type: ignore[empty-body]
    """The Marshmallow schema of the plugin's `config:` section. A field with `load_only=True` is a secret.

    Roles: every process that loads the plugin.
    Order: before any other hook of the plugin.
    An exception: makes the plugin broken. Without the hook the section must be empty.

    Example:
        from marshmallow import Schema, fields
        from transqueue import hookimpl

        class Config(Schema):
            greeting = fields.String(load_default="Hello", metadata={"description": "How to begin."})
            api_key = fields.String(load_default="", load_only=True)

        @hookimpl
        def transqueue_config_schema():
            return Config
    """


@hookspec
def transqueue_handlers(config: Mapping[str, Any]) -> Iterable[Any]:  # type: ignore[empty-body]
    """The plugin's handlers: objects marked with `@handler`, or `Handler` values. It must do no input or output.

    A module that does not implement it provides the `@handler`-marked objects that its own package defines; one that
    does returns all of them itself. What depends on the configuration is therefore not marked, but returned.

    Roles: api, worker, client.
    Order: once, after the configuration passed.
    An exception: makes the plugin broken, as a marked handler that is left out does.

    Example:
        from transqueue import Handler, handler, hookimpl

        @handler("credit")
        def credit(transaction, context):
            '''Credit an account.'''

        def refund(transaction, context):
            '''Give money back.'''

        @hookimpl
        def transqueue_handlers(config):
            return [credit] + ([Handler(type="refund", target=refund)] if config.get("refunds", True) else [])
    """


@hookspec
def transqueue_options_schema(config: Mapping[str, Any]) -> type[Schema] | Schema:  # type: ignore[empty-body]
    """The Marshmallow schema of `options.<plugin>`, which a submission of any type may then give.

    Roles: api, worker (for follow-ups), client.
    Order: once, after the configuration passed.
    An exception: makes the plugin broken. Without the hook there is no such option.

    Example:
        from marshmallow import Schema, fields
        from transqueue import hookimpl

        class Options(Schema):
            url = fields.URL(required=True, metadata={"example": "https://shop.example/hook"})

        @hookimpl
        def transqueue_options_schema(config):
            return Options
    """


@hookspec
def transqueue_before_enqueue(transaction: Draft, options: Mapping[str, Any] | None, config: Mapping[str, Any]) -> None:
    """A transaction, of whatever type, is well formed and about to be stored: last words on it.

    `options` is what the submission gave under `options.<plugin>`, loaded, else none. It may refuse by raising `Reject`
    (the submitter gets 400 `refused` with the reason), and may set `transaction.on_end = [(type, data)]`: stored with
    the transaction, and enqueued in the session of each end that it comes to, whoever ends it, with
    `Transaction.origin` telling how it ended. It must be quick, and may be called for one that is then not stored.

    Roles: api, worker (for follow-ups), client. Not called for what `on_end` enqueues.
    Order: plugin by plugin, after the schemas of data and options; each plugin sets an `on_end` of its own.
    An exception: refuses the submission with 503 where it gives the plugin's options or is of a type of the plugin;
        others are accepted without the plugin's word, and `hook.failed` is told.

    Example:
        from transqueue import Reject, handler, hookimpl

        @handler("thank", max_attempts=20)
        def thank(transaction, context):
            '''Say thanks for what has ended.'''
            return f"{transaction.data['to']}: your {transaction.origin['type']} is {transaction.origin['state']}"

        @hookimpl
        def transqueue_before_enqueue(transaction, options, config):
            if transaction.type == "deposit" and transaction.data["value"] < 0:
                raise Reject("deposits are positive")
            if "username" in transaction.data:
                transaction.on_end = [("thank", {"to": transaction.data["username"]})]
    """


@hookspec(firstresult=True)
def transqueue_run(transaction: Transaction | Sequence[Transaction], handler: Handler, context: Context) -> Any:
    """An attempt runs inside this: a wrapper (`@hookimpl(wrapper=True)`) around the handlers of all plugins.

    `yield` runs the handler, and gives what it returned or raises what it raised; the wrapper returns or raises what
    shall count instead. For a `batch=True` handler `transaction` is the list of the group, and the wrapper goes around
    the group once. Around an `async def` handler it runs in a thread of that attempt's own, whose context variables are
    the handler's too, and many do at once. The attempt's time limit includes the wrapper, but for async handlers.

    Roles: worker.
    Order: pluggy's: the plugin named last is outermost; `tryfirst` and `trylast` change that.
    An exception: is the attempt's, as if the handler had raised it.

    Example:
        import time
        from transqueue import hookimpl

        @hookimpl(wrapper=True)
        def transqueue_run(transaction, handler, context):
            began = time.monotonic()
            try:
                return (yield)
            finally:
                context.log.info("took", type=handler.type, seconds=time.monotonic() - began)
    """


@hookspec
def transqueue_event(event: Event, config: Mapping[str, Any]) -> None:
    """Something happened in this process: `event.name`, such as `transaction.rejected`, and `event.facts`.

    Called in a thread of the plugin's own, one event after the other, soon after it happened. New names and facts may
    come with any version.

    Roles: api, worker.
    Order: as things happened; plugins do not wait for each other. Events are left out when the plugin falls behind by
        a thousand, and when the process is killed.
    An exception: is told at most once a minute as `observer.failed`, and breaks nothing; a slow one delays only itself.

    Example:
        from collections import Counter
        from transqueue import hookimpl

        seen = Counter()

        @hookimpl
        def transqueue_event(event, config):
            seen[event.name] += 1
    """


@hookspec
def transqueue_startup(role: Role, config: Mapping[str, Any]) -> None:
    """A process that uses the plugin has started: open what it needs.

    Roles: api, worker; `role` tells which.
    Order: once per process, after it was spawned and all plugins were loaded.
    An exception: makes the plugin broken in this process, so its types park there. One that hangs, or ends
        the process, is broken in the API or the workers of that host, which start without it.

    Example:
        from transqueue import hookimpl

        opened = []

        @hookimpl
        def transqueue_startup(role, config):
            if role == "worker":
                opened.append("connection")
    """


@hookspec
def transqueue_shutdown(role: Role, config: Mapping[str, Any]) -> None:
    """The process is ending in good order: close what `transqueue_startup` opened. A killed process never calls it.

    Roles: api, worker; only where the startup passed.
    Order: once, when the last attempt or request has ended; the plugin named last is told first.
    An exception: is told as `plugin.broken`, and the others are still told.

    Example:
        from transqueue import hookimpl

        closed = []

        @hookimpl
        def transqueue_shutdown(role, config):
            closed.append(role)
    """


@hookspec
def transqueue_health_checks(config: Mapping[str, Any]) -> Iterable[Check]:  # type: ignore[empty-body]
    """What `transqueue doctor` shall look at for the plugin.

    Roles: a throw-away process of `transqueue doctor`, where each check has a time limit; never api or worker.
    Order: after all plugins were loaded.
    An exception: of the hook, or of a check, is a finding, with the check's cure.

    Example:
        import shutil
        from transqueue import Check, hookimpl

        def room():
            if shutil.disk_usage("/").free < 1:
                raise OSError("the disk is full")

        @hookimpl
        def transqueue_health_checks(config):
            return [Check("disk", room, cure="Make room.")]
    """


@hookspec
def transqueue_cli(config: Mapping[str, Any]) -> click.Group:  # type: ignore[empty-body]
    """A click group of the plugin's own commands, mounted as `transqueue <plugin>`.

    In a command `click.pass_obj` is a `PluginCommand`: `database` is PyMongo's, `fail(message)` ends with exit code 1.

    Roles: the process of that command, with only this plugin loaded.
    Order: when the command is asked for, after the configuration passed.
    An exception: ends the command with its reason and exit code 2.

    Example:
        import click
        from transqueue import hookimpl

        @hookimpl
        def transqueue_cli(config):
            @click.group()
            def shop():
                '''Look after the shop.'''

            @shop.command()
            def hours():
                '''When it is open.'''
                click.echo("always")

            return shop
    """
