"""What `up` says when everything runs: where things are, a first deposit through the door, and what to try."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import click
import urllib3
from urllib3.exceptions import HTTPError

from .. import __version__
from ..config import Config
from ..plugins import PluginState
from .credential import VARIABLE, authorization
from .setup import api_url

READY_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.02
NONE: Mapping[str, str] = {}
DEPOSIT = {"username": "hello", "value": 0.0}  # nothing, so that no balance changes; the whole way all the same


class Stopping(Protocol):
    """Whether the process is being stopped."""

    def is_set(self) -> bool: ...


class Greeting:
    """Greets once, in a thread of its own, so that the supervisor keeps watching meanwhile."""

    def __init__(self, config: Config, states: Sequence[PluginState], stop: Stopping, key: str | None) -> None:
        self._key = key
        self._config, self._states, self._stop = config, states, stop
        self._url = api_url(config)
        self._http = urllib3.PoolManager(timeout=35.0, retries=False)

    def start(self) -> None:
        """Greet as soon as the door is ready."""
        threading.Thread(target=self._greet, name="greeting", daemon=True).start()

    def _greet(self) -> None:
        trouble = self._wait_for_door()
        if self._stop.is_set():
            return
        if trouble:
            click.echo("\n".join([trouble, *self._where("is up, but not ready. Ctrl-C ends everything.")]))
        else:
            lines = [*self._where("is ready. Ctrl-C ends everything."), *self._first_deposit(), *self._try()]
            click.echo("\n".join(["", *lines, ""]))

    def _wait_for_door(self) -> str:
        """Nothing as soon as it takes submissions, else what keeps it from that."""
        limit = time.monotonic() + READY_SECONDS
        while True:
            status, body = self._get("/readyz")
            if status == 200 or self._stop.is_set():
                return ""
            if time.monotonic() >= limit or "default_type" in body.get("errors", {}):  # that will not change by itself
                return str(body.get("message", f"The API does not answer after {READY_SECONDS:g} s."))
            time.sleep(LOOK_AGAIN_SECONDS)

    def _where(self, state: str) -> list[str]:
        private = not self._config.mongodb.uri
        where = "private, in " + str(self._config.data_dir) if private else self._config.mongodb.uri_shown
        notes = ["  (not for production: for that, set mongodb.uri to a replica set)"] if private else []
        working = [state.name for state in self._states if state.state == "ok"]
        others = [f"{state.name} ({state.state})" for state in self._states if state.state in ("broken", "missing")]
        return [
            f"TransQueue {__version__} {state}",
            f"  API       {self._url}/api/data/",
            f"  workers   {self._config.workers.processes}",
            f"  plugins   {', '.join([*working, *others]) or 'none: list some in config.yaml'}",
            f"  MongoDB   {where}",
            *notes,
        ]

    def _first_deposit(self) -> list[str]:
        """One deposit of nothing through the door, if the ledger processes what the classic body submits."""
        if not self._ledger_is_default():
            return []
        began = time.monotonic()
        status, body = self._post("/api/data/", DEPOSIT)
        if status == 401 and self._key is None:
            return [f"  deposit   none: the API wants a key: set {VARIABLE}, or give --key-file"]
        if status != 200:
            return [f"  deposit   refused: {body.get('message', status)}"]
        transaction = body["data"]["transaction_id"]
        _, told = self._get(f"/api/data/{transaction}?wait=30")
        took = (time.monotonic() - began) * 1000
        return [f"  deposit   {transaction} is {told.get('data', {}).get('state')} after {took:.0f} ms"]

    def _ledger_is_default(self) -> bool:
        config = self._config
        ledger = next((state for state in self._states if state.name == "ledger" and state.state == "ok"), None)
        routed = config.transaction_module or config.routes.get(config.default_type, "ledger") != "ledger"
        return ledger is not None and not routed and config.default_type == "deposit" and "deposit" in ledger.types

    def _try(self) -> list[str]:
        body = json.dumps({"username": "user123", "value": 150.0})
        key = f' -H "Authorization: Bearer ${VARIABLE}"' if self._needs_key() else ""
        return ["Try:", f"  curl -s {self._url}/api/data/{key} -H 'Content-Type: application/json' -d '{body}'"]

    def _needs_key(self) -> bool:
        return self._key is not None or self._get("/api/types")[0] == 401

    def _get(self, path: str) -> tuple[int, dict[str, Any]]:
        return self._ask("GET", path)

    def _post(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        return self._ask("POST", path, {"Content-Type": "application/json"}, json.dumps(body))

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str] = NONE, body: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        try:
            shown = {**headers, **authorization(self._key)}
            answer = self._http.request(method, self._url + path, body=body, headers=shown)
            return answer.status, answer.json()
        except (HTTPError, ValueError):
            return 0, {}
