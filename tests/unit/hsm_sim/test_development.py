"""Development keys: taken in for simulated networks in test mode, refused in live mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.development_keks import (
    development_keks,
    hsm_kek_path,
    network_kek_path,
    read_development_kek,
)
from chassis.secrets import Key
from chassis.settings.tree import Network, Settings
from hsm_sim.development import refuse_development_keks, take_development_keks
from hsm_sim.keks import install_kek
from hsm_sim.lmk import KeystoreError
from hsm_sim.network_keystore import NetworkKeystore
from tests.support.hsm import NOW_S
from tests.support.hsm_keys import KEK, network_keystore

SETTINGS = Settings()


def _take(folder: Path, settings: Settings = SETTINGS) -> NetworkKeystore:
    store = network_keystore(folder, kek=None)
    take_development_keks(store, folder, settings, now_s=NOW_S)
    return store


def test_simulated_networks_share_their_key_with_the_hsm(tmp_path: Path) -> None:
    """Both sides hold the same key; the next start takes in nothing."""
    development_keks(tmp_path / "networks", SETTINGS.networks)
    store = _take(tmp_path)
    for name in ("vsim", "msim"):
        path = network_kek_path(tmp_path / "networks", name)
        assert store.kek(name) == read_development_kek(path, name)
    before = (tmp_path / "hsm" / "network_keys.json").stat().st_mtime_ns
    _take(tmp_path)
    assert (tmp_path / "hsm" / "network_keys.json").stat().st_mtime_ns == before


def test_without_files_there_is_no_key(tmp_path: Path) -> None:
    """A network without MACs needs none."""
    assert _take(tmp_path).networks == {}


def test_a_new_development_key_replaces_the_old_one(tmp_path: Path) -> None:
    """Somebody removed the files to have them made again."""
    folder = tmp_path / "networks"
    development_keks(folder, ["vsim"])
    _take(tmp_path)
    for path in (network_kek_path(folder, "vsim"), hsm_kek_path(folder, "vsim")):
        path.unlink()
    development_keks(folder, ["vsim"])
    assert _take(tmp_path).kek("vsim") == read_development_kek(hsm_kek_path(folder, "vsim"), "vsim")


def test_a_key_that_people_brought_stays(tmp_path: Path) -> None:
    """Also where a development file lies beside it."""
    development_keks(tmp_path / "networks", ["vsim"])
    network_keystore(tmp_path)
    assert _take(tmp_path).kek("vsim") == Key(KEK)


def test_a_real_network_gets_no_development_key(tmp_path: Path) -> None:
    """In test mode too: whoever plays it has a key of their own."""
    development_keks(tmp_path / "networks", ["vsim", "real"])
    store = _take(tmp_path, Settings(networks={"vsim": Network(), "real": Network(simulate=False)}))
    assert list(store.networks) == ["vsim"]


def test_a_bad_file_keeps_the_hsm_from_starting(tmp_path: Path) -> None:
    """The error names the file."""
    development_keks(tmp_path / "networks", ["vsim"])
    hsm_kek_path(tmp_path / "networks", "vsim").write_bytes(b"{}")
    with pytest.raises(KeystoreError, match=r"vsim-hsm\.kek: not a KEK file"):
        _take(tmp_path)


def test_live_mode_refuses_development_keys(tmp_path: Path) -> None:
    """And accepts those that people brought."""
    store = network_keystore(tmp_path)
    refuse_development_keks(store)
    install_kek(store, "msim", Key(KEK), origin="development", detail={}, now_s=NOW_S)
    with pytest.raises(KeystoreError, match="network msim is a development key"):
        refuse_development_keks(store)
