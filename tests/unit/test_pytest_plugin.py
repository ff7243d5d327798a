"""The fixtures come with every pytest run of the environment, so they must cost one that needs none nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

IMPORT_SECONDS = 0.02


def test_loading_it_imports_neither_flask_nor_pymongo_nor_anything_of_transqueue():
    script = """
    import json, sys, time
    import pytest
    before, began = set(sys.modules), time.process_time()
    import pytest_transqueue
    took = time.process_time() - began
    print(json.dumps([took, sorted(set(sys.modules) - before)]))
    """
    runs = [
        json.loads(subprocess.check_output([sys.executable, "-c", textwrap.dedent(script)], timeout=60))
        for _ in range(3)
    ]
    assert {name.partition(".")[0] for name in runs[0][1]} == {"pytest_transqueue"}
    assert min(took for took, _ in runs) < IMPORT_SECONDS


def test_it_is_found_without_being_asked_for(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it(make_tq):\n    assert make_tq({'plugins': {}}).types == {}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout
