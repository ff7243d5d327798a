"""A plain module beside config.yaml that processes what the classic body submits."""

from __future__ import annotations

from typing import Any

NIGHTLY = """
def process(transaction):
    assert type(transaction) is dict
    return {"got": transaction}
"""
DEPOSIT = {"username": "user123", "value": 150.25}


def test_a_module_beside_the_configuration_processes_deposits_and_its_result_is_kept(site: Any) -> None:
    (site.folder / "acme_nightly.py").write_text(NIGHTLY)
    site.enable("ledger", "greet")
    site.configure(transaction_module="acme_nightly")
    running = site.up()
    status, body, _ = site.ask("POST", "/api/data/", DEPOSIT)
    assert (status, body["data"]["value"]) == (200, 150.25)
    id = body["data"]["transaction_id"]
    told = site.ask("GET", f"/api/data/{id}?wait=20")[1]["data"]
    assert (told["state"], told["result"]) == ("done", {"got": {**DEPOSIT, "transaction_id": id}})
    assert site.database["Bank"].count_documents({}) == 0  # the module, not the ledger
    assert running.stop() == 0


def test_while_the_module_is_missing_deposits_park_and_the_others_go_on(site: Any) -> None:
    (waiting,) = site.enqueue("deposit", DEPOSIT)
    site.enable("ledger", "greet")
    site.configure(transaction_module="acme_nowhere")
    running = site.up()
    status, body, headers = site.ask("POST", "/api/data/", DEPOSIT)
    assert (status, body["code"]) == (503, "handler_unavailable")
    assert int(headers["Retry-After"]) > 0
    assert "acme_nowhere" in body["message"]
    status, body, _ = site.ask("POST", "/api/data/", {"type": "greet", "data": {"name": "Ada"}})
    assert status == 200
    told = site.ask("GET", f"/api/data/{body['data']['transaction_id']}?wait=20")[1]["data"]
    assert (told["state"], told["result"]) == ("done", {"message": "Hello Ada"})
    assert running.stop() == 0
    parked = site.transaction(waiting)
    assert (parked["state"], parked["attempts"]) == ("queued", 0)
