"""A queue deeper than its bound, at the door: 503 until there is room, and nothing stored meanwhile."""

from __future__ import annotations

from typing import Any

from transqueue import Handler
from transqueue.api.app import create_app
from transqueue.api.overload import Overload
from transqueue.config import Config
from transqueue.events import Events
from transqueue.mongodb import MongoQueue

DEPOSIT = Handler(type="deposit", target=lambda transaction, context: None, plugin="bank", version="1")
ANN = {"username": "ann", "value": 5}


class Claims:
    """A table written down by hand."""

    def resolve(self, type: str, /) -> Handler | None:
        return DEPOSIT if type == "deposit" else None

    def types(self) -> Any:
        return {"deposit": DEPOSIT}

    def parked(self, type: str, /) -> str | None:
        return None

    def vetters(self) -> Any:
        return ()

    def states(self) -> Any:
        return []


def test_a_queue_deeper_than_its_bound_is_503_until_there_is_room(mongo_queue: MongoQueue, desk: Any) -> None:
    overload = Overload(mongo_queue.measures, mongo_queue.clock, 3)
    app = create_app(
        queue=mongo_queue,
        table=Claims(),
        config=Config(),
        clock=mongo_queue.clock,
        events=Events(),
        overload=overload,
    )
    client = app.test_client()

    def post(path: str = "/api/data/", body: Any = ANN) -> Any:
        return client.post(path, json=body)

    overload.look()
    taken = [post().json["data"]["transaction_id"] for _ in range(4)]
    refused = [post(), post("/api/data/batch", {"transactions": [ANN]})]
    for answer in refused:
        assert (answer.status_code, answer.json["code"]) == (503, "overloaded")
        assert 1 <= int(answer.headers["Retry-After"]) <= 300
    assert sum(mongo_queue.counts()["deposit"].values()) == 4
    assert client.get(f"/api/data/{taken[0]}").status_code == 200  # whoever asks is still answered

    for id in taken[:2]:
        assert mongo_queue.cancel(id)
    mongo_queue.measures._depths.delete_many({})  # counted again now, and not in some seconds
    overload.look()
    assert post().status_code == 200
