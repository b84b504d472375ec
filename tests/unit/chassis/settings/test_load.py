"""Settings come from four layers, and every mistake is named where it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chassis.settings import Settings, SettingsError, load_settings
from chassis.settings.leaves import check_value, leaf_type
from chassis.settings.load import FILE_BYTES_MAX


def _load(
    tmp_path: Path, toml: str = "", environ: Mapping[str, str] = {}, **overrides: str
) -> Settings:
    config = tmp_path / "turnout.toml"
    config.write_text(toml)
    flags = {key.replace("__", "."): text for key, text in overrides.items()}
    return load_settings(config=config, environ=environ, overrides=flags)


def test_nothing_set_gives_the_defaults() -> None:
    """An empty environment and no file give the tree's own defaults."""
    assert load_settings(config=None, environ={}) == Settings()


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def test_every_default_passes_its_own_checks() -> None:
    """No default is a value that would be refused in a file."""
    checked = [
        check_value(path, value, leaf_type(path, "default"), "default")
        for path, value in _leaves(msgspec.to_builtins(Settings()))
    ]
    assert len(checked) > 100


def test_each_layer_overrides_the_one_before(tmp_path: Path) -> None:
    """Flags win over the environment, that over the file, that over the defaults."""
    toml = "[api]\nport = 1\nhost = 'file'\nbody_bytes_max = 7\n"
    environ = {"TURNOUT_API__PORT": "2", "TURNOUT_API__HOST": "environment"}
    api = _load(tmp_path, toml, environ, api__port="3").api
    assert (api.port, api.host, api.body_bytes_max) == (3, "environment", 7)
    assert api.idle_timeout_s == Settings().api.idle_timeout_s


def test_part_of_a_default_network_keeps_the_rest(tmp_path: Path) -> None:
    """Setting one key of a network leaves its other keys and the other networks alone."""
    settings = _load(tmp_path, environ={"TURNOUT_NETWORKS__VSIM__PORT": "0"})
    defaults = Settings().networks
    assert settings.networks == {
        "vsim": msgspec.structs.replace(defaults["vsim"], port=0),
        "msim": defaults["msim"],
    }


def test_the_file_can_add_a_network(tmp_path: Path) -> None:
    """A network that no default knows starts from the defaults of a network."""
    networks = _load(tmp_path, "[networks.third]\nport = 9\n[networks.fourth]\n").networks
    assert list(networks) == ["vsim", "msim", "third", "fourth"]
    assert (networks["third"].port, networks["third"].connections) == (9, 2)


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("TURNOUT_DATABASE_URL", "postgresql:///x", ("ledger", "url"), "postgresql:///x"),
        ("TURNOUT_DATA_DIR", "/srv/turnout", ("data_dir",), "/srv/turnout"),
        ("TURNOUT_MODE", "test", ("mode",), "test"),
        ("TURNOUT_SUPERVISOR__SEPARATE_UIDS", "false", ("supervisor", "separate_uids"), False),
        ("TURNOUT_API__HEAD_TIMEOUT_S", "2.5", ("api", "head_timeout_s"), 2.5),
        ("TURNOUT_API__HEAD_TIMEOUT_S", "2", ("api", "head_timeout_s"), 2.0),
        ("TURNOUT_NETWORKS__VSIM__BINS", "4, 51,,", ("networks", "vsim", "bins"), ["4", "51"]),
        (
            "TURNOUT_NETWORKS__VSIM__INQUIRY_TIMES_S",
            "0.5, 2",
            ("networks", "vsim", "inquiry_times_s"),
            [0.5, 2.0],
        ),
        ("TURNOUT_LOG__FORMAT", "json", ("log", "format"), "json"),
    ],
)
def test_environment_text_is_read_as_the_declared_type(
    variable: str, text: str, path: tuple[str, ...], value: object
) -> None:
    """Numbers, booleans, lists and choices are read from text."""
    found: Any = msgspec.to_builtins(load_settings(config=None, environ={variable: text}))
    for name in path:
        found = found[name]
    assert (list(found) if isinstance(found, tuple) else found) == value


def test_other_variables_are_not_read() -> None:
    """The environment's other names are no business of ours."""
    assert load_settings(config=None, environ={"PATH": "/bin", "XTURNOUT_A": "1"}) == Settings()


@pytest.mark.parametrize(
    ("toml", "key", "reason"),
    [
        ("prot = 1", "prot", "no such setting"),
        ("[api]\nprot = 1", "api.prot", "did you mean api.port"),
        ("[supervisor]\ndrain_timeout_ms = 1", "supervisor.drain_timeout_ms", "seconds"),
        ("[api]\nbody_kb_max = 1", "api.body_kb_max", "did you mean api.body_bytes_max (bytes)"),
        ("[api]\nport = '8080'", "api.port", "expected a whole number"),
        ("[api]\nport = 80.5", "api.port", "expected a whole number"),
        ("[api]\nport = true", "api.port", "expected a whole number"),
        ("[api]\nport = 65536", "api.port", "0 (any free one) to 65535"),
        ("[metrics]\nhsm = 70000", "metrics.hsm", "must be a port"),
        ("[api]\nport = -1", "api.port", "not below zero"),
        ("[api]\nhead_timeout_s = '10s'", "api.head_timeout_s", "seconds, without a unit"),
        ("[api]\nhead_timeout_s = nan", "api.head_timeout_s", "finite"),
        ("[api]\nhead_timeout_s = inf", "api.head_timeout_s", "finite"),
        ("[switch]\nnetwork_share = 1.5", "switch.network_share", "between 0 and 1"),
        ("[switch]\ncredits_max = 0", "switch.credits_max", "above zero"),
        ("[hsm]\nworkers = 0", "hsm.workers", "above zero"),
        ("[supervisor]\nseparate_uids = 1", "supervisor.separate_uids", "true or false"),
        ("[log]\nlevel = 'loud'", "log.level", "one of debug, info, warning, error"),
        ("[networks.vsim]\nbins = '4'", "networks.vsim.bins", "a list of texts"),
        ("[networks.vsim]\nbins = [4]", "networks.vsim.bins", "a list of texts"),
        ("[networks.vsim]\nprot = 1", "networks.vsim.prot", "did you mean networks.vsim.port"),
        ("[networks.switch]\nport = 1", "networks.switch", "no other process's name"),
        ("[networks.'a/b']\nport = 1", "networks.a/b", "lower-case letters"),
        ("networks = 1", "networks", "is a section"),
        ("api = 1", "api", "is a section"),
        ("[api.port]\nx = 1", "api.port.x", "no settings below it"),
        (
            "[supervisor]\nrestart_min_s = 11",
            "supervisor.restart_min_s",
            "must not exceed restart_max_s",
        ),
        (
            "[networks.msim]\nreconnect_max_s = 0.1",
            "networks.msim.reconnect_min_s",
            "must not exceed reconnect_max_s",
        ),
        (
            "[networks.vsim]\ninquiry_times_s = ['1']",
            "networks.vsim.inquiry_times_s",
            "a list of numbers",
        ),
        (
            "[networks.vsim]\ninquiry_times_s = [3, 1]",
            "networks.vsim.inquiry_times_s",
            "must rise",
        ),
        (
            "[networks.vsim]\ninquiry_window_s = 8",
            "networks.vsim.inquiry_times_s",
            "below inquiry_window_s",
        ),
        (
            "[switch]\nlease_ttl_s = 4",
            "switch.lease_ttl_s",
            "must exceed lease_heartbeat_s and lease_margin_s together",
        ),
        (
            "[switch]\nlease_margin_s = 8.0",
            "switch.lease_ttl_s",
            "must exceed lease_heartbeat_s and lease_margin_s together",
        ),
        ("[switch]\nlease_heartbeat_s = 0", "switch.lease_heartbeat_s", "above zero"),
        ("[switch]\nprocesses = 0", "switch.processes", "above zero"),
        ("[switch]\nprocesses = 37", "switch.processes", "must not exceed 36"),
        ("[switch]\nclean_up_from_hour = 24", "switch.clean_up_from_hour", "hour of the day"),
        ("[limits]\nkey_reads_burst = 0", "limits.key_reads_burst", "above zero"),
        ("[limits]\naddress_writes_per_s = 0", "limits.address_writes_per_s", "above zero"),
        (
            "[limits]\ntrusted_proxies = ['10.0.0.0/8', 'proxy']",
            "limits.trusted_proxies",
            "must be addresses or networks",
        ),
        ("[velocity]\nwindow_s = 0", "velocity.window_s", "above zero"),
        ("[api]\nprocesses = 0", "api.processes", "above zero"),
        ("[api]\nprocesses = 33", "api.processes", "must not exceed 32"),
        ("[redis]\nurl = 'http://127.0.0.1'", "redis.url", "must be redis://"),
        ("[redis]\nurl = 'redis://127.0.0.1:x'", "redis.url", "is no URL"),
        ("mode = ", "settings file", "is not TOML"),
    ],
)
def test_mistakes_in_the_file_name_key_file_and_reason(
    tmp_path: Path, toml: str, key: str, reason: str
) -> None:
    """Unknown keys, wrong types, wrong units and impossible values are refused by name."""
    with pytest.raises(SettingsError) as refused:
        _load(tmp_path, toml)
    assert refused.value.key == key
    assert refused.value.source == str(tmp_path / "turnout.toml")
    assert reason in refused.value.reason


@pytest.mark.parametrize(
    ("variable", "text", "key", "reason"),
    [
        ("TURNOUT_API__PORT", "eighty", "api.port", "expected a whole number"),
        ("TURNOUT_API_PORT", "80", "api_port", "no such setting"),
        ("TURNOUT_API", "80", "api", "is a section"),
        ("TURNOUT_", "80", "", "no such setting"),
        ("TURNOUT_NETWORKS__VSMI__PORT", "80", "networks.vsmi", "only the settings file can add"),
        ("TURNOUT_LEDGER__STATEMENT_TIMEOUT_MS", "5s", "ledger.statement_timeout_ms", "millis"),
    ],
)
def test_mistakes_in_the_environment_name_the_variable(
    variable: str, text: str, key: str, reason: str
) -> None:
    """A bad variable is named in full."""
    with pytest.raises(SettingsError) as refused:
        load_settings(config=None, environ={variable: text})
    assert (refused.value.key, refused.value.source) == (key, variable)
    assert reason in refused.value.reason
    assert variable in str(refused.value)


def test_mistakes_in_flags_name_the_command_line() -> None:
    """A bad flag is not blamed on a file."""
    with pytest.raises(SettingsError) as refused:
        load_settings(config=None, environ={}, overrides={"api.port": "x"})
    assert refused.value.source == "command line"


def test_errors_never_repeat_the_value(tmp_path: Path) -> None:
    """A value may be a password, so neither the message nor its causes quote it."""
    with pytest.raises(SettingsError) as refused:
        _load(tmp_path, "[ledger]\nconnect_timeout_s = 'hunter2'")
    assert "hunter2" not in repr(refused.value)
    assert "hunter2" not in str(refused.value.__cause__)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """`--config` with a missing file is an error, not the defaults."""
    with pytest.raises(SettingsError, match=r"missing\.toml"):
        load_settings(config=tmp_path / "missing.toml", environ={})


def test_an_oversized_file_is_refused(tmp_path: Path) -> None:
    """A file far too large for settings is not read into memory."""
    with pytest.raises(SettingsError, match="larger than"):
        _load(tmp_path, "#" * (FILE_BYTES_MAX + 1))


def test_the_default_file_is_read_where_it_exists(tmp_path: Path) -> None:
    """Without `--config` the file in the XDG folder counts, and may be absent."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert load_settings(config=None, environ=environ).api.port == 8080
    (tmp_path / "turnout").write_text("no folder")
    assert load_settings(config=None, environ=environ).api.port == 8080
    (tmp_path / "turnout").unlink()
    (tmp_path / "turnout").mkdir()
    (tmp_path / "turnout" / "turnout.toml").write_text("[api]\nport = 81\n")
    assert load_settings(config=None, environ=environ).api.port == 81


def test_a_default_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Whoever wrote one means it; it is not passed over, and names its place and the reason."""
    (tmp_path / "turnout" / "turnout.toml").mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"turnout\.toml.*directory"):
        load_settings(config=None, environ={"XDG_CONFIG_HOME": str(tmp_path)})
