"""The house rules that a machine can hold: the order of imports, sizes, docstrings."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter import cli

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "transqueue"
FILES = sorted(PACKAGE.rglob("*.py"))
FILE_LINES, FUNCTION_LINES = 300, 40

by_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def public(tree):
    """The functions and classes that a file offers."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def imports(tree):
    """The modules that a file names in its imports, but for those beside it."""
    nodes = list(ast.walk(tree))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]


def imported_by(module):
    """Every module that a process has after importing only this one."""
    return imported_in(f"import {module}")


def imported_in(program):
    """Every module that a process has at the end of a program."""
    script = f"import sys\n{program}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, timeout=60, check=True)
    return {name.partition(".")[0] for name in done.stdout.decode().split()} | set(done.stdout.decode().split())


def test_there_is_something_to_judge():
    assert len(FILES) > 50
    assert PACKAGE / "worker" / "worker.py" in FILES


def test_imports_only_go_down(tmp_path):
    judged = cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), cache_dir=str(tmp_path))
    assert judged == cli.EXIT_STATUS_SUCCESS


def test_a_worker_never_imports_flask():
    modules = imported_by("transqueue.worker.process")
    assert "transqueue.worker.worker" in modules
    assert modules & {"flask", "werkzeug", "granian", "transqueue.api"} == set()


def test_a_plugins_import_brings_neither_the_driver_nor_the_door():
    modules = imported_by("transqueue")
    assert "transqueue.handlers" in modules
    assert modules & {"pymongo", "bson", "flask", "werkzeug", "granian", "mongomock"} == set()


DRIVER = {"pymongo", "bson"}
DOOR = {"flask", "werkzeug", "jinja2", "transqueue.api.app"}
SLOW = {"structlog", "rich", "asyncio", "ruamel", "granian", "apispec", "prometheus_client", "mongomock", "urllib3"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("transqueue.cli", DRIVER | DOOR | SLOW),
        ("transqueue.plugins.probe", DRIVER | DOOR | SLOW),
        ("transqueue.cli.up", DOOR | {"apispec", "prometheus_client", "mongomock"}),
        (
            "transqueue.worker.process",
            DOOR | {"granian", "apispec", "prometheus_client", "mongomock", "urllib3", "ruamel"},
        ),
    ],
)
def test_no_process_imports_what_it_does_not_need_to_start(module, absent):
    modules = imported_by(module)
    assert module in modules
    assert modules & absent == set()


def test_help_imports_no_command():
    program = "from transqueue.cli import root\nroot.main(['--help'], standalone_mode=False)"
    modules = imported_in(program)
    assert {name for name in modules if name.startswith("transqueue.cli.")} == {"transqueue.cli.setup"}
    assert modules & (DRIVER | DOOR | SLOW) == set()


def test_commands_that_only_ask_import_no_more_than_the_driver():
    modules = imported_by("transqueue.cli.records")
    assert modules & (DOOR | SLOW - {"asyncio"}) == set()


SUBMISSION = """
from transqueue import handler
from transqueue.testing import Kit

@handler("greet")
def greet(transaction, context):
    return None

with Kit(provides={"greet": [greet]}) as kit:
    kit.submit("greet", {})
    kit.run()
    [done] = kit.transactions(state="done")
"""


REFUSALS = f"""{SUBMISSION}
    from transqueue.testing import SubmissionRefused
    for type, data in (("gret", {{}}), ("greet", [])):
        try:
            kit.submit(type, data)
        except SubmissionRefused as refused:
            assert refused.status == 400
        else:
            raise AssertionError(type)
"""
NOT_A_KITS = {"multiprocessing", "subprocess", "pdb", "tomllib", "click", "ssl", "http.client", "importlib.metadata"}


@pytest.mark.parametrize("program", [SUBMISSION, REFUSALS], ids=["accepted", "refused"])
def test_a_kit_imports_nothing_that_a_plugin_without_a_database_does_without(program):
    modules = imported_in(program)
    assert {"transqueue.testing.kit", "transqueue.api.reception", "transqueue.worker.worker"} <= modules
    assert modules & (DRIVER | DOOR | SLOW | NOT_A_KITS) == set()
    assert {name for name in modules if name.startswith(("transqueue.mongodb", "transqueue.dashboard"))} == set()
    assert modules & {"transqueue.testing.contract", "transqueue.testing.effects", "transqueue.admin.explain"} == set()


def test_a_kit_imports_flask_for_any_other_request_than_to_submit():
    modules = imported_in(f"{SUBMISSION}    assert kit.client.get('/healthz').status_code == 200")
    assert {"flask", "transqueue.api.app"} <= modules


def test_the_plugins_of_this_repository_import_nothing_of_transqueue_but_what_authors_do():
    files = [
        file for file in (ROOT / "plugins").rglob("*.py") if "tests" not in file.parts and file.name != "conftest.py"
    ]
    names = {name for file in files for name in imports(ast.parse(file.read_text())) if name.startswith("transqueue")}
    own = {name for name in names if name.startswith("transqueue_")}
    assert len(files) > 15
    assert names - own == {"transqueue"}


@by_file
def test_a_file_says_what_it_is_for(file):
    assert file.read_text().strip() == "" or ast.get_docstring(ast.parse(file.read_text()))


@by_file
def test_everything_public_has_a_docstring(file):
    offered = public(ast.parse(file.read_text()))
    assert [node.name for node in offered if not ast.get_docstring(node)] == []


@by_file
def test_files_and_functions_stay_small(file):
    text = file.read_text()
    assert len(text.splitlines()) <= FILE_LINES
    long = [node for node in functions(ast.parse(text)) if node.end_lineno - node.lineno + 1 > FUNCTION_LINES]
    assert [f"{node.name}, line {node.lineno}" for node in long] == []
