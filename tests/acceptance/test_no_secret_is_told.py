"""A canary over a whole run: what submitters send, and what is secret, is in no log and in nothing that commands say.

Every way in which a payload could come out is tried: data that is accepted, refused, breaks a schema, an ordering key,
a handler, or its process; and every way for a secret: keys, right and wrong, and what plugins get from the environment.
"""

from __future__ import annotations

import http.client
import json
from typing import Any

PAYLOAD, SECRET = "canary-of-a-submitter-71f3", "canary-of-a-plugin-'\"\\-9b2e"
CANARY = PAYLOAD[:18]

PLUGIN = """
    import logging
    import os
    from marshmallow import Schema, fields
    from transqueue import Reject, handler, hookimpl

    class Config(Schema):
        token = fields.String(required=True)

    class Frail(Schema):
        name = fields.String(required=True)

        def on_bind_field(self, *_): ...

        def load(self, data, **_):
            raise RuntimeError(f"cannot take {data}")

    def key_of(data):
        raise RuntimeError(f"no key in {data}")

    @hookimpl
    def transqueue_config_schema():
        return Config

    @handler("fine")
    def fine(transaction, context):
        context.log.info("saw it", token=context.config["token"])
        return {"seen": transaction.data}

    @handler("frail", schema=Frail)
    def frail(transaction, context): ...

    @handler("keyless", ordering_key=key_of)
    def keyless(transaction, context): ...

    @handler("raises", max_attempts=2, backoff_seconds=(0.01, 0.01))
    def raises(transaction, context):
        raise ValueError(f"{transaction.data} and {context.config['token']}")

    @handler("refuses")
    def refuses(transaction, context):
        raise Reject(f"not {transaction.data}")

    @handler("bad_result", max_attempts=1)
    def bad_result(transaction, context):
        return {transaction.data["name"]: object()}

    @handler("dies", max_attempts=1)
    def dies(transaction, context):
        os._exit(3)
"""
BROKEN = """
    from marshmallow import Schema, fields
    from transqueue import hookimpl

    class Config(Schema):
        token = fields.String(required=True)

    @hookimpl
    def transqueue_config_schema():
        return Config

    @hookimpl
    def transqueue_handlers(config):
        raise RuntimeError(f"cannot connect with {config['token']}")
"""


class Asking:
    """Sends requests as they are."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(self, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        try:
            connection.request("GET" if body is None else "POST", path, raw, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


def sent(type: str) -> dict[str, Any]:
    return {"type": type, "data": {"name": f"{PAYLOAD}-{type}"}}


def test_neither_payloads_nor_secrets_are_in_any_log_or_on_any_screen(site: Any) -> None:
    site.plugin("canary", PLUGIN)
    site.plugin("broken", BROKEN)
    section = {"enabled": True, "config": {"token": "${ACME_TOKEN}"}}
    site.configure(plugins={"canary": section, "broken": section}, default_type="fine")
    environ = {"ACME_TOKEN": SECRET}

    def said(*arguments: str) -> Any:
        ended = site.start(*arguments, **environ)
        ended.ends(40)
        assert ended.out + ended.log
        return ended

    key = said("keys", "create", "ann", "--scope", "admin", "--json")
    text = json.loads(key.out)["key"]
    up = site.start("up", **environ)
    up.until_ready()
    ask = Asking(site.port)
    site.wait_until(lambda: _accepts(ask), timeout=30, message="the door accepts")

    statuses = {type: ask("/api/data/", sent(type), text)[0] for type in ("fine", "frail", "keyless")}
    assert statuses == {"fine": 200, "frail": 503, "keyless": 503}
    accepted = [ask("/api/data/", sent(type), text) for type in ("raises", "refuses", "bad_result", "dies")]
    ids = [body["data"]["transaction_id"] for _, body in accepted]
    for wrong in (b'{"username": "' + PAYLOAD.encode(), {"type": PAYLOAD, "data": {}}, {**sent("fine"), PAYLOAD: 1}):
        assert ask("/api/data/", wrong, text)[0] == 400
    stranger = text[:-4] + ("0000" if text[-4:] != "0000" else "1111")
    assert ask("/api/data/", sent("fine"), stranger)[0] == 401
    assert ask(f"/api/data/{PAYLOAD}", None, text)[0] == 404
    site.until(ids, timeout=40)
    _, plugins = ask("/api/plugins", None, text)
    screens = [said(*line.split()) for line in ("check", "plugins", "doctor", "stats", "keys", "keys --json")]
    up.process.terminate()
    up.ends(40)

    # The run did what it was meant to: what must not come out is stored, and what happened was told.
    assert PAYLOAD in json.dumps(site.transactions(ids), default=str)
    told = {name: up.events(name) for name in ("handler.failed", "transaction.retried", "transaction.buried")}
    assert all(told.values()), up.told()
    assert up.events("transaction.rejected")
    assert up.events("worker.died")
    assert up.events("key.refused")
    assert up.events("plugin.broken")
    assert "cannot connect with ***" in json.dumps(plugins)

    everything = {"up": up, **{" ".join(one.arguments): one for one in screens}}
    for name, one in everything.items():
        for canary in (CANARY, SECRET, json.dumps(SECRET)[1:-1], text.rpartition("_")[2], stranger.rpartition("_")[2]):
            assert canary not in one.out + one.log, f"{canary} in what {name} said"
    assert SECRET not in json.dumps(plugins)


def _accepts(ask: Asking) -> bool:
    try:
        return ask("/readyz")[0] == 200
    except OSError:
        return False
