"""Network keys on disk: shared by workers, bound to their records, changed whole or not at all."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from chassis.durable import temporary_name
from hsm_sim.audit import AuditError, verify
from hsm_sim.lmk import KeystoreError
from hsm_sim.network_keystore import Change, NetworkKeys, NetworkKeystore
from hsm_sim.session_keys import KeyExchangeError, SessionKey, install
from tests.support.hsm import NOW_S, open_store
from tests.support.hsm_keys import FIRST, KEK, NETWORK, SECOND, network_keystore


def _installing(
    store: NetworkKeystore, key_id: str, material: bytes
) -> Callable[[NetworkKeys], Change]:
    def plan(shared: NetworkKeys) -> Change:
        record = SessionKey(
            network=NETWORK,
            key_id=key_id,
            origin="imported",
            check_value="ABCDEF",
            state="next",
            created_at_s=NOW_S,
        )
        new = store.wrap_session_key(record, material)
        return replace(shared, ring=install(shared.ring, new)), [("session_key_imported", {})]

    return plan


def _install(store: NetworkKeystore, key_id: str = "01", material: bytes = FIRST) -> NetworkKeys:
    return store.change(NETWORK, _installing(store, key_id, material), now_s=NOW_S)


def _becoming(now_s: int, **change: object) -> Callable[[NetworkKeys], Change]:
    def plan(shared: NetworkKeys) -> Change:
        ring = tuple(replace(key, **change) for key in shared.ring)
        return replace(shared, ring=ring), []

    return plan


def _actions(folder: Path) -> list[str]:
    store = open_store(folder)
    (audit,) = (record for record in store.records if record.usage == "audit")
    lines = (folder / "hsm" / "audit.log").read_bytes().splitlines()
    assert verify(lines, store.material(audit)) == []
    return [json.loads(line)["action"] for line in lines][6:]  # after the store's own six keys


def test_a_store_without_network_keys_has_none(tmp_path: Path) -> None:
    """Before the first key there is no file, and nothing to find."""
    store = network_keystore(tmp_path, kek=None)
    assert (store.networks, store.working, store.of("vsim")) == ({}, {}, NetworkKeys())
    with pytest.raises(KeyExchangeError, match="no_kek"):
        store.kek("vsim")
    assert not (tmp_path / "hsm" / "network_keys.json").exists()
    assert store.sweep(now_s=NOW_S) == 0


def test_keys_are_private_and_not_in_the_clear(tmp_path: Path) -> None:
    """The files are 0600, and hold no key in any usual spelling."""
    _install(network_keystore(tmp_path))
    folder = tmp_path / "hsm"
    for name in ("network_keys.json", "network_keys.lock"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    content = b"".join(path.read_bytes() for path in folder.iterdir() if path.name != "lmk")
    for key in (KEK, FIRST):
        for spelling in (key, key.hex().encode(), b64encode(key).rstrip(b"=")):
            assert spelling not in content


def test_workers_and_restarts_see_the_same_keys(tmp_path: Path) -> None:
    """Another worker has a change at its next look; a new process has all."""
    store, other = network_keystore(tmp_path), network_keystore(tmp_path, worker=1)
    _install(store)
    assert other.working == {NETWORK: {}}
    other.refresh()
    again = network_keystore(tmp_path)
    for each in (store, other, again):
        assert each.kek(NETWORK).reveal() == KEK
        assert each.material(each.of(NETWORK).ring[0]).reveal() == FIRST
        message_mac = each.working[NETWORK]["01"].cmac.message_mac(b"0800")
        assert message_mac == store.working[NETWORK]["01"].cmac.message_mac(b"0800")


def test_a_change_starts_from_what_others_wrote(tmp_path: Path) -> None:
    """A worker that has not looked since does not undo what happened meanwhile."""
    store, other = network_keystore(tmp_path), network_keystore(tmp_path, worker=1)
    _install(store)
    after = other.change(
        "msim", lambda shared: (shared, [("session_key_refused", {})]), now_s=NOW_S
    )
    assert after == NetworkKeys()
    _install(other, "02", SECOND)
    store.refresh()
    assert [key.key_id for key in store.of(NETWORK).ring] == ["02"]
    assert _actions(tmp_path)[1:] == [
        "session_key_imported",
        "session_key_refused",
        "session_key_imported",
        "session_key_destroyed",
    ]


def test_a_changed_record_is_bound_again(tmp_path: Path) -> None:
    """State and dates change, the key is the same; what did not change keeps its wrap."""
    store = network_keystore(tmp_path)
    before = _install(store).ring[0]
    kek_before = store.of(NETWORK).kek
    store.change(NETWORK, _becoming(NOW_S, confirmed_at_s=NOW_S), now_s=NOW_S)
    after = network_keystore(tmp_path).of(NETWORK)
    assert after.kek == kek_before
    assert after.ring[0].confirmed_at_s == NOW_S
    assert after.ring[0].wrapped != before.wrapped
    assert network_keystore(tmp_path).material(after.ring[0]).reveal() == FIRST


def test_an_idle_change_writes_nothing(tmp_path: Path) -> None:
    """Neither the file nor the log."""
    store = network_keystore(tmp_path)
    _install(store)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "hsm").iterdir()}
    store.change(NETWORK, lambda shared: (shared, []), now_s=NOW_S)
    store.change("msim", lambda shared: (shared, []), now_s=NOW_S)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "hsm").iterdir()}
    assert after == before


def test_expired_keys_are_destroyed_on_disk(tmp_path: Path) -> None:
    """A sweep takes what is dead, says so in the log, and leaves the rest."""
    store = network_keystore(tmp_path)
    _install(store)
    ends_s = NOW_S + 120
    store.change(NETWORK, _becoming(NOW_S, state="previous", expires_at_s=ends_s), now_s=NOW_S)
    _install(store, "02", SECOND)
    wrapped = b64encode(store.of(NETWORK).ring[-1].wrapped)
    path = tmp_path / "hsm" / "network_keys.json"
    assert wrapped in path.read_bytes()
    assert store.sweep(now_s=ends_s - 1) == 0
    assert store.sweep(now_s=ends_s) == 1
    assert store.sweep(now_s=ends_s) == 0
    assert wrapped not in path.read_bytes()
    assert list(store.working[NETWORK]) == ["02"]
    assert _actions(tmp_path)[-1] == "session_key_destroyed"


def test_a_plan_that_raises_changes_nothing(tmp_path: Path) -> None:
    """A refusal in the middle leaves file and log as they were."""
    store = network_keystore(tmp_path)
    files = {path.name: path.read_bytes() for path in (tmp_path / "hsm").iterdir()}

    def refuse(_shared: NetworkKeys) -> Change:
        raise KeyExchangeError("unknown_key")

    with pytest.raises(KeyExchangeError):
        store.change(NETWORK, refuse, now_s=NOW_S)
    assert {path.name: path.read_bytes() for path in (tmp_path / "hsm").iterdir()} == files


def test_no_change_without_its_audit_line(tmp_path: Path) -> None:
    """Where the log cannot be continued the keys stay, on disk and in memory."""
    store = network_keystore(tmp_path)
    path = tmp_path / "hsm" / "network_keys.json"
    before = path.read_bytes()
    log = tmp_path / "hsm" / "audit.log"
    log.write_bytes(log.read_bytes().replace(b"kek_loaded", b"kek_loadee"))
    with pytest.raises(AuditError):
        _install(store)
    assert path.read_bytes() == before
    assert store.working == {NETWORK: {}}


def test_a_crash_before_the_write_leaves_the_old_keys(tmp_path: Path) -> None:
    """The log may tell of a change that did not happen, never the other way round."""
    store = network_keystore(tmp_path)
    temporary_name(tmp_path / "hsm" / "network_keys.json").mkdir()
    with pytest.raises(IsADirectoryError):
        _install(store)
    assert network_keystore(tmp_path).of(NETWORK).ring == ()
    assert _actions(tmp_path)[-1] == "session_key_imported"


def _altered(path: Path, **change: object) -> None:
    content = json.loads(path.read_text())
    content["networks"][NETWORK]["ring"][0].update(change)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        {"network": "msim"},
        {"key_id": "02"},
        {"state": "current"},
        {"check_value": "000000"},
        {"origin": "generated"},
        {"confirmed_at_s": 1},
        {"expires_at_s": 1},
        {"wrapped": "AAAA"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_altered_record_does_not_unwrap(tmp_path: Path, change: dict[str, object]) -> None:
    """No key can be promoted, renamed, kept longer or moved by who edits the file."""
    _install(network_keystore(tmp_path))
    _altered(tmp_path / "hsm" / "network_keys.json", **change)
    with pytest.raises(KeystoreError, match="does not unwrap"):
        network_keystore(tmp_path)


def test_an_altered_kek_does_not_unwrap(tmp_path: Path) -> None:
    """A development key cannot be passed off as one that people brought."""
    network_keystore(tmp_path)
    path = tmp_path / "hsm" / "network_keys.json"
    content = json.loads(path.read_text())
    content["networks"][NETWORK]["kek"]["origin"] = "development"
    path.write_text(json.dumps(content))
    with pytest.raises(KeystoreError, match="kek of vsim does not unwrap"):
        network_keystore(tmp_path).kek(NETWORK)


UNFIT: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), r"network_keys\.json: .*restore"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-9]), r"network_keys\.json: .*rest"),
    "another format": (
        lambda path: path.write_text('{"format":2,"lmk_check_value":"","networks":{}}'),
        "format",
    ),
    "another lmk": (
        lambda path: path.write_text('{"format":1,"lmk_check_value":"00","networks":{}}'),
        "wrapped under the LMK with check value 00",
    ),
    "gone": (lambda path: path.unlink(), "is gone; restore it"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
}


@pytest.mark.parametrize(("spoil", "complaint"), UNFIT.values(), ids=UNFIT.keys())
def test_an_unfit_file_is_an_error_at_the_next_look(
    tmp_path: Path, spoil: Callable[[Path], object], complaint: str
) -> None:
    """A running worker does not go on with keys that the disk no longer backs."""
    store = network_keystore(tmp_path)
    spoil(tmp_path / "hsm" / "network_keys.json")
    with pytest.raises(KeystoreError, match=complaint):
        store.refresh()


def test_the_file_is_the_documented_one(tmp_path: Path) -> None:
    """Format, check value of the LMK, and per network the KEK and the ring."""
    _install(network_keystore(tmp_path))
    content = msgspec.json.decode((tmp_path / "hsm" / "network_keys.json").read_bytes())
    assert sorted(content) == ["format", "lmk_check_value", "networks"]
    assert sorted(content["networks"][NETWORK]) == ["kek", "ring"]
    assert content["lmk_check_value"] == open_store(tmp_path).lmk.check_value
