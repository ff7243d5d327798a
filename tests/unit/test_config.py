"""A well-formed config.yaml: what it becomes, where its parts are found, and that nobody changes it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from pathlib import Path

import pytest

from transqueue.config import (
    ApiConfig,
    Config,
    LogsConfig,
    MongodbConfig,
    PluginConfig,
    RetentionConfig,
    WorkersConfig,
    did_you_mean,
    find_config,
    read_config,
)
from transqueue.config.default import DEFAULT_CONFIG
from transqueue.errors import ConfigInvalid, Problem

REPOSITORY = Path(__file__).parents[2]

WHOLE = """\
mongodb:
  uri: "mongodb://app:${PASSWORD}@db1,db2/?replicaSet=rs0"
  database: shop
data_dir: state/tq
api: {host: "::1", port: "${PORT}", processes: 2, threads: 8}
workers:
  processes: ${PROCESSES}
  lease_seconds: 1e1
  stop_seconds: 0.5
default_type: invoice.pay
plugins:
  ledger:
    config:
      currencies: [EUR, {code: USD}]
      key: ${KEY}
    handlers:
      deposit: {max_attempts: 3, timeout_seconds: 20, backoff_seconds: [1, 60], after_dead: skip}
      invoice.*: {max_attempts: 0x10}
  acme-pay:
    enabled: ${OFF}
routes:
  invoice.pay: ledger
transaction_module: acme.nightly
"""
ENVIRON = {"PASSWORD": "s%40cret", "PORT": "8080", "PROCESSES": " 4\n", "KEY": "0123", "OFF": "false"}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "config.yaml"


def written(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


@pytest.fixture
def whole(file):
    return read_config(written(file, WHOLE), ENVIRON)


def test_every_key_arrives_in_its_place(whole, file):
    assert whole == Config(
        file=file,
        root=file.parent,
        mongodb=MongodbConfig(uri="mongodb://app:s%40cret@db1,db2/?replicaSet=rs0", database="shop"),
        data_dir=file.parent / "state/tq",
        api=ApiConfig(host="::1", port=8080, processes=2, threads=8),
        workers=WorkersConfig(processes=4, lease_seconds=10.0, stop_seconds=0.5),
        default_type="invoice.pay",
        plugins={
            "ledger": PluginConfig(
                config={"currencies": ("EUR", {"code": "USD"}), "key": "0123"},
                handlers={
                    "deposit": {
                        "max_attempts": 3,
                        "timeout_seconds": 20.0,
                        "backoff_seconds": (1.0, 60.0),
                        "after_dead": "skip",
                    },
                    "invoice.*": {"max_attempts": 16},
                },
            ),
            "acme-pay": PluginConfig(enabled=False),
        },
        routes={"invoice.pay": "ledger"},
        transaction_module="acme.nightly",
    )


def test_numbers_of_seconds_are_floats_and_texts_are_plain(whole):
    override = whole.plugins["ledger"].handlers["deposit"]
    assert [type(override["timeout_seconds"]), *map(type, override["backoff_seconds"])] == [float] * 3
    assert type(whole.plugins["ledger"].config["key"]) is str
    assert type(whole.workers.lease_seconds) is float


def test_a_key_that_is_left_out_has_its_default(file):
    config = read_config(written(file, "api: {port: 5001}\n"), {})
    assert config == Config(file=file, root=file.parent, data_dir=file.parent / ".transqueue", api=ApiConfig(port=5001))


def test_without_a_file_the_defaults_start_from_the_present_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_config(None, {}) == Config(root=tmp_path, data_dir=tmp_path / ".transqueue")


def test_a_relative_file_gives_absolute_paths(file, monkeypatch):
    monkeypatch.chdir(written(file, "data_dir: here\n").parent)
    config = read_config(Path("config.yaml"), {})
    assert (config.file, config.root, config.data_dir) == (file, file.parent, file.parent / "here")


def test_an_absolute_data_dir_stays(file):
    assert read_config(written(file, "data_dir: /var/lib/tq\n"), {}).data_dir == Path("/var/lib/tq")


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(file):
    assert read_config(written(file, "\ufeffapi:\r\n  port: 5001\r\n"), {}).api.port == 5001


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${NAME}", "ann"),
        ("to ${NAME} and ${NAME}", "to ann and ann"),
        ("$${NAME}", "${NAME}"),
        ("'$${'", "${"),
        ("cost $5 {or} $NAME", "cost $5 {or} $NAME"),
        ("${NESTED}", "${NAME}"),
        ("${EMPTY}", ""),
        ("'yes'", "yes"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("'2026-12-01'", "2026-12-01"),
        ("TRUE", True),
        ("-1.5e3", -1500.0),
        ("0o17", 15),
        ("~", None),
        ("| \n        two\n        lines", "two\nlines\n"),
    ],
)
def test_a_scalar_is_read_as_yaml_1_2_and_the_environment_say(file, text, value):
    environ = {"NAME": "ann", "NESTED": "${NAME}", "EMPTY": ""}
    config = read_config(written(file, f"plugins:\n  ledger:\n    config:\n      it: {text}\n"), environ)
    assert config.plugins["ledger"].config == {"it": value}


def test_a_text_key_takes_a_number_from_the_environment_as_text(file):
    assert read_config(written(file, "mongodb: {database: '${DB}'}\n"), {"DB": "2026"}).mongodb.database == "2026"


def test_it_crosses_a_process_border_whole(whole):
    again = pickle.loads(pickle.dumps(whole))
    assert again == whole
    assert again.problem("api.port", "x") == whole.problem("api.port", "x") != Problem(0, 0, "api.port", "x")
    assert copy.deepcopy(whole) == whole


@pytest.mark.parametrize(
    "change",
    [
        lambda config: setattr(config, "default_type", "x"),
        lambda config: config.plugins.__setitem__("x", PluginConfig()),
        lambda config: config.plugins["ledger"].config.update(x=1),
        lambda config: config.plugins["ledger"].config["currencies"].append("GBP"),
        lambda config: config.plugins["ledger"].config["currencies"][1].pop("code"),
        lambda config: config.plugins["ledger"].handlers["deposit"].setdefault("x", 1),
        lambda config: config.routes.clear(),
        lambda config: config.routes.__ior__({"x": "y"}),
        lambda config: config.routes.__delitem__("invoice.pay"),
        lambda config: config.routes.popitem(),
    ],
)
def test_nothing_in_it_can_be_changed(whole, change):
    before = pickle.dumps(whole)
    with pytest.raises((TypeError, AttributeError)):
        change(whole)
    assert pickle.dumps(whole) == before


def test_a_config_made_by_hand_is_frozen_too():
    given = {"list": [1]}
    plugin = PluginConfig(config=given)
    given["list"].append(2)
    assert plugin.config == {"list": (1,)}


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        ("api.port", 5, 26),
        (("workers", "lease_seconds"), 8, 18),
        (("plugins", "ledger", "config"), 13, 5),
        (("plugins", "ledger", "config", "currencies"), 14, 7),
        (("plugins", "ledger", "config", "currencies", 0), 14, 20),
        ("plugins.ledger.config.currencies.1.code", 14, 32),
        (("plugins", "ledger", "config", "missing", "deep"), 13, 5),
        ("plugins.ledger.handlers.invoice.*.max_attempts", 18, 33),
        (("routes", "invoice.pay"), 22, 16),
        ("routes.invoice", 21, 1),
        ("nowhere", 1, 1),
        ("", 1, 1),
    ],
)
def test_a_later_finding_still_has_its_line_and_column(whole, path, line, column):
    dotted = path if isinstance(path, str) else ".".join(map(str, path))
    assert whole.problem(path, "no") == Problem(line, column, dotted, "no")


def test_without_a_file_a_finding_has_no_line():
    assert Config().problem("api.port", "no") == Problem(0, 0, "api.port", "no")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("", ""),
        ("mongodb://db:27017/?replicaSet=a", "mongodb://db:27017/?replicaSet=a"),
        ("mongodb://ann:s3cret@db:27017/x", "mongodb://ann:***@db:27017/x"),
        ("mongodb+srv://ann:s3cret/s3@cret@db/?w=majority", "mongodb+srv://ann:***@db/?w=majority"),
        ("mongodb://ann@db/?tlsCertificateKeyFilePassword=s3cret&tls=true", None),
        ("mongodb://ann@db/?authMechanismProperties=AWS_SESSION_TOKEN:s3cret", None),
    ],
)
def test_the_uri_is_shown_without_its_secrets(uri, shown):
    mongodb = MongodbConfig(uri=uri)
    assert "cret" not in mongodb.uri_shown
    assert shown is None or mongodb.uri_shown == shown
    assert "cret" not in repr(Config(mongodb=mongodb, plugins={"a": PluginConfig(config={"key": "s3cret"})}))


@pytest.mark.parametrize(
    ("explicit", "environ", "found"),
    [
        ("mine.yaml", {"TRANSQUEUE_CONFIG": "/etc/tq.yaml"}, "/work/mine.yaml"),
        ("/etc/mine.yaml", {}, "/etc/mine.yaml"),
        (None, {"TRANSQUEUE_CONFIG": "/etc/tq.yaml"}, "/etc/tq.yaml"),
        (None, {"TRANSQUEUE_CONFIG": "sub/tq.yaml"}, "/work/sub/tq.yaml"),
        (None, {"TRANSQUEUE_CONFIG": ""}, "/work/config.yaml"),
        (None, {}, "/work/config.yaml"),
    ],
)
def test_the_option_goes_before_the_variable_before_the_folder(explicit, environ, found):
    assert find_config(explicit, environ, Path("/work")) == Path(found)


def test_the_default_file_is_the_repositorys():
    assert (REPOSITORY / "config.yaml").read_text(encoding="utf-8") == DEFAULT_CONFIG


def test_the_default_file_says_the_defaults_and_enables_two_plugins(file):
    config = read_config(written(file, DEFAULT_CONFIG), {})
    plugins = {"ledger": PluginConfig(), "greet": PluginConfig()}
    assert config == Config(file=file, root=file.parent, data_dir=file.parent / ".transqueue", plugins=plugins)


def settings() -> list[str]:
    sections = {
        "mongodb": MongodbConfig,
        "api": ApiConfig,
        "workers": WorkersConfig,
        "retention": RetentionConfig,
        "logs": LogsConfig,
        "plugins.ledger": PluginConfig,
    }
    inner = [f"{name}.{field.name}" for name, kind in sections.items() for field in dataclasses.fields(kind)]
    not_written = ("file", "left_out", "root", "positions", "secrets", "unusable")
    outer = [field.name for field in dataclasses.fields(Config) if field.name not in not_written]
    return inner + outer


@pytest.mark.parametrize("setting", settings())
def test_the_default_file_writes_and_explains_every_setting(file, setting):
    key = setting.rpartition(".")[2]
    line = read_config(written(file, DEFAULT_CONFIG), {}).problem(setting, "").line
    lines = DEFAULT_CONFIG.splitlines()
    assert re.match(rf"\s*{key}:", lines[line - 1])
    explained = key in ("mongodb", "api", "workers", "retention", "logs") or "#" in lines[line - 2]
    assert explained


def test_a_near_name_is_offered_and_a_far_one_is_not():
    assert did_you_mean("prot", ["port", "host"]) == "; did you mean 'port'?"
    assert did_you_mean("zzz", ["port", "host"]) == ""


def test_the_error_names_the_file_on_every_line(file):
    with pytest.raises(ConfigInvalid) as caught:
        read_config(written(file, "prot: 1\napi: 2\n"), {})
    assert all(line.startswith(f"{file}:") for line in str(caught.value).splitlines())
