"""Which scope each route needs: one line each, and what has no line here is refused to everybody.

A test walks the application's routes and holds this table to them, for every scope.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..access import Scope
from .gate import ALIVE

Need = frozenset[Scope]  # any one of these is enough

OPEN: Need = frozenset()  # nobody needs to show a key
SUBMIT, READ, OPERATE, ADMIN = (frozenset({scope}) for scope in Scope)
EITHER = SUBMIT | READ  # who only submits sees what is its submitter's

DASHBOARD = "/ui"  # what is below has its own login, and asks for each page and action whether it may be seen or done

NEEDS: Mapping[str, Need] = {
    "POST /api/data/": SUBMIT,
    "POST /api/data/batch": SUBMIT,
    "GET /api/data/": EITHER,
    "GET /api/data/<transaction_id>": EITHER,
    "GET /api/data/<transaction_id>/explain": EITHER,
    "POST /api/data/<transaction_id>/cancel": OPERATE,
    "POST /api/data/<transaction_id>/retry": OPERATE,
    "GET /api/types": EITHER,
    "GET /api/types/<type>": EITHER,
    "POST /api/types/<type>/pause": OPERATE,
    "POST /api/types/<type>/resume": OPERATE,
    "GET /api/plugins": READ,
    "GET /api/workers": READ,
    "GET /api/stats": READ,
    "GET /metrics": READ,
    # What must be seen before one has a key, or by a probe that has none; it tells of types, not of transactions.
    f"GET {ALIVE}": OPEN,
    "GET /readyz": OPEN,
    "GET /openapi.json": OPEN,
    "GET /docs": OPEN,
    "GET /docs/style.css": OPEN,
}


def needed(method: str, rule: str) -> Need | None:
    """What a route needs; none when it is not in the table. HEAD is GET without the body."""
    if rule == DASHBOARD or rule.startswith(f"{DASHBOARD}/"):
        return OPEN
    return NEEDS.get(f"{'GET' if method == 'HEAD' else method} {rule}")
