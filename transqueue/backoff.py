"""How long to wait before the next attempt.

Full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): uniform between nothing and the
capped exponential, so that a herd of failures spreads out. A floor keeps a retry from being immediate.
"""

from __future__ import annotations

from collections.abc import Callable

FLOOR = 0.1  # of the exponential: a retry at once would only meet the same trouble


def backoff_seconds(attempts: int, first: float, longest: float, random: Callable[[], float]) -> float:
    """Seconds to wait after `attempts` (1 or more) failures, at most `longest`.

    Args:
        random: returns a float in [0, 1), such as `random.random`.
    """
    ceiling = min(longest, first * 2.0 ** min(attempts - 1, 60))
    return ceiling * (FLOOR + (1 - FLOOR) * random())
