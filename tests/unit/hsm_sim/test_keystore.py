"""The keys on disk: birth, rotation, sharing, and every way a store can be unfit."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from chassis.settings.tree import HSM
from hsm_sim.audit import AuditError, verify
from hsm_sim.keys import KeyRecord, slots
from hsm_sim.keystore import Keystore, KeystoreError, open_keystore
from hsm_sim.vault import build_vault
from tests.support.hsm import DAY_S, NOW_S, open_store

SETTINGS = HSM()


def _rotate(store: Keystore, now_s: int) -> None:
    store.rotate(slots(SETTINGS), now_s=now_s, destroyed_kept_s=SETTINGS.destroyed_keys_kept_s)


def _usages(records: list[KeyRecord]) -> list[str]:
    return sorted(f"{record.usage}/{record.algorithm}" for record in records)


def _audit_actions(store: Keystore, folder: Path) -> list[str]:
    (audit,) = (record for record in store.records if record.usage == "audit")
    lines = (folder / "hsm" / "audit.log").read_bytes().splitlines()
    assert verify(lines, store.material(audit)) == []
    return [json.loads(line)["action"] for line in lines]


def test_the_first_start_creates_every_key_privately(tmp_path: Path) -> None:
    """One key a purpose, all files 0600 in a 0700 folder, one audit line a key."""
    store = open_store(tmp_path)
    assert _usages(list(store.records)) == [
        "audit/hmac_sha256",
        "capture/p256",
        "capture/x25519",
        "card/aes256",
        "fingerprint/hmac_sha256",
        "secret/aes256",
    ]
    folder = tmp_path / "hsm"
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == dict.fromkeys(
        ("audit.lock", "audit.log", "keys.json", "keys.lock", "lmk"), 0o600
    )
    assert _audit_actions(store, tmp_path) == ["key_created"] * 6


def test_no_key_lies_in_the_clear(tmp_path: Path) -> None:
    """Neither the store nor the log holds the bytes of a key, in any usual spelling."""
    store = open_store(tmp_path)
    files = b"".join(
        path.read_bytes() for path in (tmp_path / "hsm").iterdir() if path.name != "lmk"
    )
    for record in store.records:
        key = store.material(record).reveal()
        assert key not in files
        assert key.hex().encode() not in files
        assert b64encode(key).rstrip(b"=") not in files


def test_a_second_start_and_a_second_worker_see_the_same_keys(tmp_path: Path) -> None:
    """Nothing is created twice."""
    first = open_store(tmp_path)
    again, other = open_store(tmp_path), open_store(tmp_path, worker=1)
    assert list(again.records) == list(other.records) == list(first.records)
    for record in first.records:
        assert other.material(record) == first.material(record)


def test_a_rotation_reaches_the_other_workers(tmp_path: Path) -> None:
    """Worker 0 rotates; worker 1 reads the new keys at its next look, and only then."""
    store, other = open_store(tmp_path), open_store(tmp_path, worker=1)
    generation = other.generation
    other.refresh()
    assert other.generation == generation
    _rotate(store, NOW_S + DAY_S)
    assert len(store.records) == 9
    other.refresh()
    assert other.generation == generation + 1
    assert list(other.records) == list(store.records)


def test_rotating_with_nothing_due_changes_nothing(tmp_path: Path) -> None:
    """No write, no audit line."""
    store = open_store(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "hsm").iterdir()}
    _rotate(store, NOW_S + 60)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "hsm").iterdir()}
    assert after == before


def test_keys_die_on_disk(tmp_path: Path) -> None:
    """After two days a capture key's material is gone, its record says so, the log tells it."""
    store = open_store(tmp_path)
    first = [record for record in store.records if record.usage == "capture"]
    before = (tmp_path / "hsm" / "keys.json").read_bytes()
    for day in (1, 2):
        _rotate(store, NOW_S + day * DAY_S)
    by_id = {record.id: record for record in store.records}
    assert [by_id[record.id].wrapped for record in first] == [b"", b""]
    assert all(b64encode(record.wrapped) in before for record in first)
    for record in first:
        with pytest.raises(KeystoreError, match="is destroyed"):
            store.material(by_id[record.id])
    content = (tmp_path / "hsm" / "keys.json").read_bytes()
    assert not any(b64encode(record.wrapped) in content for record in first)
    assert _audit_actions(store, tmp_path).count("key_destroyed") == 2
    _rotate(store, NOW_S + 40 * DAY_S)
    assert {record.id for record in first}.isdisjoint(record.id for record in store.records)
    assert _audit_actions(store, tmp_path).count("key_forgotten") >= 2


def test_a_days_card_key_outlives_refunds_and_disputes(tmp_path: Path) -> None:
    """Cards sealed on the first day open for 541 days, then their key is gone."""
    store = open_store(tmp_path)
    vault = build_vault(store, now_s=NOW_S)
    blob = vault.cards.seal(b"card", b"row", day=NOW_S // DAY_S, nonce=bytes(12))
    for day in (1, 300, 540):
        _rotate(store, NOW_S + day * DAY_S)
    late = build_vault(store, now_s=NOW_S + 541 * DAY_S - 1)
    assert late.cards.unseal(blob, b"row") == b"card"
    _rotate(store, NOW_S + 541 * DAY_S)
    (first,) = (r for r in store.records if (r.usage, r.version) == ("card", 1))
    assert first.wrapped == b""


def test_live_mode_does_not_draw_its_own_lmk(tmp_path: Path) -> None:
    """Without a ceremony live mode refuses and says where to read; with an LMK it starts."""

    def start() -> Keystore:
        return open_keystore(
            tmp_path / "hsm",
            slots(SETTINGS),
            now_s=NOW_S,
            destroyed_kept_s=SETTINGS.destroyed_keys_kept_s,
            may_generate_lmk=False,
            worker=0,
        )

    with pytest.raises(KeystoreError, match=r"lmk: missing; live mode needs the ceremony"):
        start()
    lmk = tmp_path / "hsm" / "lmk"
    lmk.write_bytes(bytes(range(32)))
    lmk.chmod(0o600)
    assert len(start().records) == 6


def _alter_record(folder: Path, **change: object) -> None:
    path = folder / "keys.json"
    content = json.loads(path.read_text())
    content["keys"][0].update(change)
    path.write_text(json.dumps(content))


UNFIT: dict[str, tuple[Callable[[Path], object], str]] = {
    "lmk missing": (lambda f: (f / "lmk").unlink(), "lmk: missing beside its key store"),
    "keys missing": (lambda f: (f / "keys.json").unlink(), "missing beside its audit log"),
    "keys and newest audit file missing": (
        lambda f: (
            (f / "keys.json").unlink(),
            (f / "audit.log").rename(f / "audit-000000000000006.log"),
        ),
        "missing beside its audit log",
    ),
    "another lmk": (lambda f: (f / "lmk").write_bytes(bytes(32)), "restore the right one"),
    "lmk cut": (lambda f: (f / "lmk").write_bytes(bytes(16)), "exactly 32 bytes"),
    "keys empty": (lambda f: (f / "keys.json").write_bytes(b""), r"keys\.json: .*restore"),
    "keys cut": (
        lambda f: (f / "keys.json").write_bytes((f / "keys.json").read_bytes()[:-20]),
        r"keys\.json: .*restore",
    ),
    "another format": (
        lambda f: (f / "keys.json").write_text('{"format":2,"lmk_check_value":"","keys":[]}'),
        "format",
    ),
    "an unknown member": (lambda f: _alter_record(f, exportable=True), "exportable"),
    "folder open to others": (lambda f: f.chmod(0o755), "chmod 0700"),
    "lmk open to others": (lambda f: (f / "lmk").chmod(0o644), "chmod 0600"),
}


@pytest.mark.parametrize(("spoil", "complaint"), UNFIT.values(), ids=UNFIT.keys())
def test_an_unfit_store_is_refused_and_left_alone(
    tmp_path: Path, spoil: Callable[[Path], object], complaint: str
) -> None:
    """A store that does not fit together is never mended by guessing; the error names the file."""
    open_store(tmp_path)
    folder = tmp_path / "hsm"
    spoil(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(KeystoreError, match=complaint):
        open_store(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


@pytest.mark.parametrize(
    "change",
    [
        {"destroy_at_s": 4_000_000_000},
        {"active_until_s": 4_000_000_000},
        {"usage": "secret"},
        {"version": 9},
        {"public_key": "AAAA"},
        {"wrapped": "AAAA"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_altered_record_does_not_unwrap(tmp_path: Path, change: dict[str, object]) -> None:
    """Dates, usage, version and public key are bound to the key: none can be changed on disk."""
    open_store(tmp_path)
    _alter_record(tmp_path / "hsm", **change)
    store = open_store(tmp_path)
    with pytest.raises(KeystoreError, match="does not unwrap"):
        build_vault(store, now_s=NOW_S)


def test_a_store_that_vanishes_is_an_error_at_the_next_look(tmp_path: Path) -> None:
    """A running worker does not go on with keys whose store is gone."""
    store = open_store(tmp_path)
    (tmp_path / "hsm" / "keys.json").unlink()
    with pytest.raises(KeystoreError, match=r"keys\.json: No such file"):
        store.refresh()


def test_a_rotation_does_not_replace_a_store_that_vanished(tmp_path: Path) -> None:
    """A running worker whose store is gone creates no new keys in its place."""
    store = open_store(tmp_path)
    (tmp_path / "hsm" / "keys.json").unlink()
    with pytest.raises(KeystoreError, match="missing beside its audit log"):
        _rotate(store, NOW_S + DAY_S)
    assert not (tmp_path / "hsm" / "keys.json").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The error says which folder and why."""
    with pytest.raises(KeystoreError, match="absent/hsm: cannot be created"):
        open_store(tmp_path / "absent")


def test_no_rotation_without_its_audit_line(tmp_path: Path) -> None:
    """Where the audit log cannot be continued, keys stay as they are."""
    store = open_store(tmp_path)
    keys = tmp_path / "hsm" / "keys.json"
    before = keys.read_bytes()
    log = tmp_path / "hsm" / "audit.log"
    log.write_bytes(log.read_bytes().replace(b"audit-1", b"audit-2"))
    with pytest.raises(AuditError):
        _rotate(store, NOW_S + DAY_S)
    assert keys.read_bytes() == before


def test_a_crash_after_the_lmk_was_written_starts_over(tmp_path: Path) -> None:
    """An LMK alone is a first start, also the one that a ceremony prepares."""
    folder = tmp_path / "hsm"
    folder.mkdir(mode=0o700)
    (folder / "lmk").write_bytes(bytes(range(32)))
    (folder / "lmk").chmod(0o600)
    assert len(open_store(tmp_path).records) == 6


@pytest.mark.parametrize("usage", ["fingerprint", "card", "secret", "audit"])
def test_a_store_without_a_permanent_key_is_refused(tmp_path: Path, usage: str) -> None:
    """A record that was cut out is missed at once, not at the first card."""
    store = open_store(tmp_path)
    store.records = [record for record in store.records if record.usage != usage]
    use = store.audit_log if usage == "audit" else partial(build_vault, store, now_s=NOW_S)
    with pytest.raises(KeystoreError, match=f"no {usage} key"):
        use()
