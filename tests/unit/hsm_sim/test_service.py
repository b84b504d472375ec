"""Rotation by the clock: on time, and patient where the disk is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from chassis.durable import temporary_name
from chassis.settings.tree import HSM
from hsm_sim.audit import AuditLog
from hsm_sim.key_exchange import KeyExchange
from hsm_sim.keystore import Keystore, KeystoreError
from hsm_sim.network_keystore import NetworkKeystore
from hsm_sim.service import destroy_expired, keep_rotating, rotate_if_due
from hsm_sim.vault import build_vault
from hsm_sim.wire import ChangeSessionKey
from tests.support.hsm import DAY_S, NOW_S, open_store
from tests.support.hsm_keys import FIRST, NETWORK, SECOND, key_import, network_keystore

SETTINGS = HSM()


def _active(store: Keystore, now_s: int) -> set[str]:
    return {
        record.id
        for record in store.records
        if record.usage == "capture" and record.state(now_s) == "active"
    }


async def test_keys_rotate_day_after_day(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Through five days two capture keys are always active and at most six can open."""
    store = open_store(tmp_path)
    started_s = trio.current_time()

    def clock() -> float:
        return NOW_S + trio.current_time() - started_s

    seen = set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_rotating, store, NetworkKeystore(store), SETTINGS, clock)
        for _ in range(5 * 24):
            await trio.sleep(3600)
            now_s = int(clock())
            active = _active(store, now_s)
            assert len(active) in {2, 4}  # four while the old and the new overlap
            seen |= active
            assert sum(bool(r.wrapped) for r in store.records if r.usage == "capture") <= 6
        nursery.cancel_scope.cancel()
    assert len(seen) == 12


def test_nothing_due_is_no_rotation(tmp_path: Path) -> None:
    """Between rotations the look at the clock writes nothing."""
    store = open_store(tmp_path)
    generation = store.generation
    assert rotate_if_due(store, SETTINGS, now_s=NOW_S + 3600)
    assert store.generation == generation


def test_a_failed_rotation_is_said_and_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the log cannot be continued the old keys stay; once it is mended rotation goes on."""
    store = open_store(tmp_path)
    log = tmp_path / "hsm" / "audit.log"
    sound = log.read_bytes()
    log.write_bytes(sound.replace(b"audit-1", b"audit-2"))
    before = _active(store, NOW_S)
    assert not rotate_if_due(store, SETTINGS, now_s=NOW_S + DAY_S - 60)
    assert "key_rotation_failed" in "".join(capsys.readouterr())
    assert _active(store, NOW_S) == before
    log.write_bytes(sound)
    assert rotate_if_due(store, SETTINGS, now_s=NOW_S + DAY_S - 60)
    assert len(_active(store, NOW_S + DAY_S - 60)) == 4
    assert isinstance(store.audit_log(), AuditLog)


def test_a_store_that_cannot_be_written_keeps_its_keys(tmp_path: Path) -> None:
    """An error of the file system costs the new keys, not the old ones, until it is gone."""
    store = open_store(tmp_path)
    before = (tmp_path / "hsm" / "keys.json").read_bytes()
    obstacle = temporary_name(tmp_path / "hsm" / "keys.json")
    obstacle.mkdir()
    assert not rotate_if_due(store, SETTINGS, now_s=NOW_S + DAY_S)
    assert (tmp_path / "hsm" / "keys.json").read_bytes() == before
    store.refresh()
    assert len(build_vault(store, now_s=NOW_S + DAY_S).public_keys(NOW_S + DAY_S)) == 2
    obstacle.rmdir()
    assert rotate_if_due(store, SETTINGS, now_s=NOW_S + DAY_S)
    assert len(_active(store, NOW_S + DAY_S)) == 2


def test_a_lost_store_ends_the_worker(tmp_path: Path) -> None:
    """What cannot be waited out is raised."""
    store = open_store(tmp_path)
    (tmp_path / "hsm" / "keys.json").unlink()
    with pytest.raises(KeystoreError):
        rotate_if_due(store, SETTINGS, now_s=NOW_S + DAY_S)


def _with_a_previous_key(tmp_path: Path) -> NetworkKeystore:
    """Two key changes at once, so that a key is in its overlap."""
    store = network_keystore(tmp_path)
    commands = KeyExchange(store, SETTINGS, bytes)
    for key_id, key in (("01", FIRST), ("02", SECOND)):
        commands.answer(key_import(key, key_id), uid=0, now_s=NOW_S)
        for change in ("confirm", "promote"):
            request = ChangeSessionKey(NETWORK, key_id, change)
            commands.answer(request, uid=0, now_s=NOW_S)
    assert list(store.working[NETWORK]) == ["02", "01"]
    return store


async def test_session_keys_past_their_overlap_are_destroyed(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """At the first look after the overlap the old key leaves the disk."""
    network_keys = _with_a_previous_key(tmp_path)
    started_s = trio.current_time()

    def clock() -> float:
        return NOW_S + trio.current_time() - started_s

    async with trio.open_nursery() as nursery:
        store = open_store(tmp_path)
        nursery.start_soon(keep_rotating, store, network_keys, SETTINGS, clock)
        await trio.sleep(SETTINGS.session_key_overlap_s - 1)
        assert len(network_keys.of(NETWORK).ring) == 2
        await trio.sleep(SETTINGS.rotation_check_s + 2)
        assert len(network_keys.of(NETWORK).ring) == 1
        nursery.cancel_scope.cancel()


def test_session_keys_wait_for_a_log_that_can_be_continued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed look is said and costs nothing; a lost file ends the worker."""
    network_keys = _with_a_previous_key(tmp_path)
    late_s = NOW_S + SETTINGS.session_key_overlap_s
    log = tmp_path / "hsm" / "audit.log"
    sound = log.read_bytes()
    log.write_bytes(sound.replace(b"promoted", b"promotee"))
    destroy_expired(network_keys, now_s=late_s)
    assert "session_keys_not_destroyed" in "".join(capsys.readouterr())
    assert len(network_keys.of(NETWORK).ring) == 2
    log.write_bytes(sound)
    destroy_expired(network_keys, now_s=late_s)
    assert len(network_keys.of(NETWORK).ring) == 1
    (tmp_path / "hsm" / "network_keys.json").unlink()
    with pytest.raises(KeystoreError):
        destroy_expired(network_keys, now_s=late_s)
