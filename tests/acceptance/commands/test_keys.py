"""An API that others can reach: refused without keys, opened with one, and how the commands show theirs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest


@pytest.mark.timeout(300)
def test_an_api_that_others_can_reach_opens_only_with_keys_and_the_commands_show_theirs(place: Any) -> None:
    place.change("host: 127.0.0.1", "host: 0.0.0.0")
    refused = place.run("up")
    assert refused.code == 2, repr(refused)
    assert "there is no API key" in refused.err
    assert "`transqueue keys create SUBMITTER`" in refused.err

    made = place.run("keys", "create", "ann", "--json").json  # the private MongoDB runs for this moment
    file = place.folder / "key"
    file.write_text(made["key"])
    file.chmod(0o600)

    greet = ("submit", "greet", '{"name": "Ada"}', "--wait")
    with place.start("up", "--key-file", "key") as up:
        up.until_said("Try:")
        assert re.search(r"deposit +\d{21} is done", up.out), repr(up)
        assert '-H "Authorization: Bearer $TRANSQUEUE_API_KEY"' in up.out
        assert made["key"] not in up.out + up.err
        without = place.run(*greet)
        assert (without.code, without.out) == (1, "")
        assert "TRANSQUEUE_API_KEY" in without.err
        assert place.run(*greet, TRANSQUEUE_API_KEY=made["key"]).out.startswith("1 accepted, 1 done")
        assert json.loads(place.run("keys", "--json").out)["keys"][0]["last_used_at"]

        assert place.run("keys", "revoke", made["id"]).code == 0
        shown = {"Authorization": f"Bearer {made['key']}"}
        place.wait_until(lambda: place.ask("GET", "/api/data/", **shown)[0] == 401, timeout=5, message="it is refused")
        revoked = place.run(*greet, "--key-file", "key")
        assert revoked.code == 1
        assert "revoked" in revoked.err
