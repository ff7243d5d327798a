"""The modules of the chaos run, for its tests."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent

for folder in (HERE, HERE / "packages"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
