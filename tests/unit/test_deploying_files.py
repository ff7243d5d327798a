"""The files of docs/operations are whole: units that systemd reads, and containers that name what there is."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from transqueue.cli import root
from transqueue.config import read_config

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"
ROOT = OPERATIONS.parents[1]
UNITS = sorted((OPERATIONS / "systemd").glob("*.service"))


def compose():
    return YAML(typ="safe").load((OPERATIONS / "container" / "compose.yaml").read_text())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_there_is_and_waits_for_its_end(unit):
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str
    read.read(unit)
    command = read["Service"]["ExecStart"].split()
    assert command[0] == "/opt/transqueue/bin/transqueue"
    assert command[1] in root.list_commands(None)
    assert int(read["Service"]["TimeoutStopSec"]) >= 15
    assert read["Service"]["KillMode"] == "mixed"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_a_unit(unit, tmp_path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        assert "[Service]" in unit.read_text()  # no systemd on this machine: the test above is what can be said
        return
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace("/opt/transqueue/bin/transqueue", "/bin/true"))
    judged = subprocess.run([tool, "verify", str(here)], capture_output=True, text=True, timeout=60, check=False)
    about = [line for line in judged.stderr.splitlines() if unit.name in line]
    assert (judged.returncode, about) == (0, [])


def test_compose_names_what_it_has():
    told = compose()
    services, volumes = told["services"], told["volumes"]
    for name, service in services.items():
        assert "image" in service, name
        for needed in service.get("depends_on", {}):
            assert needed in services
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in volumes or (OPERATIONS / "container" / source).exists()
    assert [name for name in services if name.startswith("db")] == ["db1", "db2", "db3"]
    for name in ("api", "work"):
        (command,) = services[name]["command"]
        assert command in root.list_commands(None)
    build = services["api"]["build"]
    context = (OPERATIONS / "container" / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).is_file()


def test_the_containers_configuration_is_valid():
    config = read_config(OPERATIONS / "container" / "config.yaml", {})
    assert config.mongodb.uri == "mongodb://db1,db2,db3/?replicaSet=rs0"


def test_the_image_copies_what_there_is():
    text = (OPERATIONS / "container" / "Containerfile").read_text()
    copied = [path for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for path in line.split()]
    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
