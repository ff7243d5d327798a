"""A row of bars as SVG, made here: it needs no script, and takes its colours from the page's style."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 120, 24
GAP = 1


def sparkline(counts: Sequence[float], failed: Sequence[float], label: str) -> Markup:
    """Bars of counts, with what failed of each on top of it."""
    highest = max([one + bad for one, bad in zip(counts, failed, strict=True)], default=0) or 1
    width = WIDTH / max(1, len(counts))
    bars = []
    for place, (one, bad) in enumerate(zip(counts, failed, strict=True)):
        good_height = one / highest * HEIGHT
        bad_height = bad / highest * HEIGHT
        bars.append(_bar("spark-good", place * width, HEIGHT - good_height, width - GAP, good_height))
        bars.append(_bar("spark-bad", place * width, HEIGHT - good_height - bad_height, width - GAP, bad_height))
    opening = Markup('<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">')
    head = opening.format(WIDTH, HEIGHT, WIDTH, HEIGHT, label)
    return head + Markup("".join(bars)) + Markup("</svg>")  # noqa: S704 - nothing but numbers is in a bar


def _bar(kind: str, left: float, top: float, width: float, height: float) -> str:
    if height <= 0:
        return ""
    place = f'x="{left:.2f}" y="{top:.2f}" width="{max(0.5, width):.2f}" height="{max(0.5, height):.2f}"'
    return f'<rect class="{kind}" {place}/>'
