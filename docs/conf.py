"""How the documentation is built: `make docs`. Nothing is fetched, and a warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "extensions"))

from transqueue import __version__

project = "TransQueue"
author = "the TransQueue contributors"
copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx_click", "from_code"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
source_suffix = {".md": "markdown"}
exclude_patterns = ["extensions", "**/README.md"]

suppress_warnings = ["misc.highlighting_failure", "myst.xref_missing"]  # JSON in part; links to files of the code

html_theme = "furo"
html_title = f"TransQueue {release}"
html_copy_source = False
html_show_sphinx = False
