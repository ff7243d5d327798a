"""The operator of a run: gives each dead transaction more attempts, over HTTP, as people would.

A transaction that was struck three times is dead, as promised, and blocks its key; so no run could end without this.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import urllib3
from parties import DATABASE
from pymongo import MongoClient
from pymongo.errors import PyMongoError

LOOK_SECONDS = 1.0


class Operator(threading.Thread):
    """Looks for dead transactions until closed.

    Attributes:
        retried: how often it helped, by what the transactions had died of.
    """

    def __init__(self, uri: str, url: str) -> None:
        super().__init__(name="operator", daemon=True)
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri, timeoutMS=3000, serverSelectionTimeoutMS=2000)
        self._http, self._url = urllib3.PoolManager(retries=False, timeout=5.0), url
        self._closing = threading.Event()
        self.retried: Counter[str] = Counter()

    def run(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            try:
                self._turn()
            except (PyMongoError, urllib3.exceptions.HTTPError):
                continue

    def close(self) -> None:
        self._closing.set()
        self.join(15)
        self._client.close()

    def _turn(self) -> None:
        for row in self._client[DATABASE]["Q"].find({"state": "dead"}, {"error": 1}):
            if self._http.request("POST", f"{self._url}/api/data/{row['_id']}/retry").status == 200:
                error = row.get("error") or {}
                self.retried[f"{error.get('type')}: {error.get('message')}"[:160]] += 1
