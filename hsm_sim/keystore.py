"""The keys on disk, shared by the worker processes of one HSM.

    <data_dir>/hsm/          0700, the HSM user's
      lmk                    0600, 32 bytes; see `hsm_sim.lmk`
      keys.json              the records of `hsm_sim.keys`, each key wrapped under the LMK
      keys.lock              taken by whoever creates or rotates
      network_keys.*         see `hsm_sim.network_keystore`
      audit*.log, audit.lock  see `hsm_sim.audit`, `hsm_sim.audit_files`

Readers take no lock: the file is replaced as a whole, so they see one rotation or the next, and
`refresh` compares its identity (one system call) before each request. Writers hold the lock from
reading to replacing. Only worker 0 rotates; any worker may create the store at the first start.

The files of a store belong together. One of them missing beside the others is a fault to be
mended from the backup, never a reason to start anew: a fresh fingerprint or secret key would
quietly orphan what the ledger keeps.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from chassis.durable import locked, write_durably
from chassis.secrets import Key
from hsm_sim.audit import FILE_BYTES, AuditLog, Entry
from hsm_sim.audit_files import log_files
from hsm_sim.backends.native import generate_private_key, public_key
from hsm_sim.envelope import key_id
from hsm_sim.keys import ALGORITHM_SUITES, Due, KeyRecord, Slot, due, next_version
from hsm_sim.lmk import LMK, KeystoreError, generate_lmk, load_lmk

KEY_BYTES: Final = 32


class StoreFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What `keys.json` holds."""

    format: Literal[1]
    lmk_check_value: str
    keys: list[KeyRecord]


class Keystore:
    """The records of one folder as last read, and the LMK that unwraps them.

    Attributes:
        records: every key, destroyed ones included.
        generation: counts the readings; another number means other records.
        folder: where the store is.
        lmk: what wraps its keys.
    """

    def __init__(
        self, folder: Path, lmk: LMK, *, worker: int, audit_file_bytes: int = FILE_BYTES
    ) -> None:
        self._audit_file_bytes = audit_file_bytes
        self.records: Sequence[KeyRecord] = ()
        self.generation = 0
        self.folder = folder
        self._path = folder / "keys.json"
        self._path_text = str(self._path)
        self._audit_path = folder / "audit.log"
        self.lmk = lmk
        self._worker = worker
        self._identity: tuple[int, int, int] | None = None

    def material(self, record: KeyRecord) -> Key:
        """Unwrap one key.

        Raises:
            KeystoreError: the key is destroyed, or its record was altered.
        """
        if not record.wrapped:
            raise KeystoreError(f"key {record.id} is destroyed")
        return Key(self.lmk.unwrap(record.wrapped, _header(record), name=record.id))

    def refresh(self) -> None:
        """Read the records again if the file was replaced; `generation` then counts up.

        Raises:
            KeystoreError: the file is gone or cannot be understood.
        """
        try:
            status = os.stat(self._path_text)  # noqa: PTH116 - twice as fast, on the hot path
        except OSError as error:
            raise KeystoreError(f"{self._path}: {error.strerror}") from None
        identity = (status.st_ino, status.st_mtime_ns, status.st_size)
        if identity != self._identity:
            self.records = self._read()
            self._identity = identity
            self.generation += 1

    def rotate(self, wanted: Sequence[Slot], *, now_s: int, destroyed_kept_s: int) -> Due:
        """Create, destroy and forget what is due at `now_s`, durably, and say what it was.

        Raises:
            KeystoreError: the store cannot be read, is not ours, or is gone while its log is not.
            AuditError: the audit log cannot be continued; no key was changed.
            OSError: log or store cannot be written; no key was changed.
        """
        with locked(self.folder / "keys.lock"):
            is_new = not self._path.exists()
            if is_new and log_files(self._audit_path):
                raise KeystoreError(f"{self._path}: missing beside its audit log; restore it")
            self.records = () if is_new else self._read()
            plan = due(self.records, wanted, now_s=now_s, destroyed_kept_s=destroyed_kept_s)
            if plan:
                self._apply(plan, now_s=now_s, is_new=is_new)
            self.refresh()
        return plan

    def audit_log(self) -> AuditLog:
        """Open the audit log of this store, under its audit key.

        Raises:
            KeystoreError: the store has no audit key.
        """
        for record in self.records:
            if record.usage == "audit":
                key = self.material(record)
                return AuditLog(
                    self._audit_path, key, worker=self._worker, file_bytes=self._audit_file_bytes
                )
        raise KeystoreError(f"{self._path}: no audit key; restore the key store")

    def _apply(self, plan: Due, *, now_s: int, is_new: bool) -> None:
        created = [self._create(slot, now_s) for slot in plan.create]
        destroyed = {record.id for record in plan.destroy}
        forgotten = {record.id for record in plan.forget}
        after = [
            msgspec.structs.replace(record, wrapped=b"") if record.id in destroyed else record
            for record in self.records
            if record.id not in forgotten
        ] + created
        if is_new:  # the audit key is among the new ones, so here the lines can only follow
            self._write(after)
            self.records = after
        entries: list[Entry] = [("key_created", _detail(record)) for record in created]
        entries += [("key_destroyed", _detail(record)) for record in plan.destroy]
        entries += [("key_forgotten", _detail(record)) for record in plan.forget]
        self.audit_log().append(entries, at_s=now_s)
        if not is_new:
            self._write(after)

    def _create(self, slot: Slot, now_s: int) -> KeyRecord:
        suite = ALGORITHM_SUITES.get(slot.algorithm)
        version = next_version(self.records, slot)
        active_until_s, destroy_at_s = slot.dates(now_s)
        if suite is None:
            key, public, name = os.urandom(KEY_BYTES), b"", f"{slot.usage}-{version}"
        else:
            key = generate_private_key(suite)
            public = public_key(suite, key)
            name = key_id(suite, public)
        record = KeyRecord(
            id=name,
            usage=slot.usage,
            algorithm=slot.algorithm,
            version=version,
            created_at_s=now_s,
            active_until_s=active_until_s,
            destroy_at_s=destroy_at_s,
            public_key=public,
        )
        return msgspec.structs.replace(record, wrapped=self.lmk.wrap(key, _header(record)))

    def _write(self, records: Sequence[KeyRecord]) -> None:
        content = StoreFile(1, self.lmk.check_value, list(records))
        write_durably(self._path, msgspec.json.format(msgspec.json.encode(content)))

    def _read(self) -> Sequence[KeyRecord]:
        try:
            content = msgspec.json.decode(self._path.read_bytes(), type=StoreFile)
        except OSError as error:
            raise KeystoreError(f"{self._path}: {error.strerror}") from None
        except msgspec.MsgspecError as error:
            raise KeystoreError(f"{self._path}: {error}; restore the key store") from None
        if content.lmk_check_value != self.lmk.check_value:
            raise KeystoreError(
                f"{self._path}: wrapped under the LMK with check value {content.lmk_check_value}, "
                f"but {self.folder / 'lmk'} has {self.lmk.check_value}; restore the right one"
            )
        return content.keys


def open_keystore(
    folder: Path,
    wanted: Sequence[Slot],
    *,
    now_s: int,
    destroyed_kept_s: int,
    may_generate_lmk: bool,
    worker: int,
    audit_file_bytes: int = FILE_BYTES,
) -> Keystore:
    """Open the store of a folder; at the very first start, create it.

    Raises:
        KeystoreError: a file is missing beside the others, does not fit, or is open to others;
            or this is live mode and no ceremony has made an LMK.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise KeystoreError(f"{folder}: cannot be created: {error.strerror}") from None
    if folder.stat().st_mode & 0o077:
        raise KeystoreError(f"{folder}: others have access to the key store; chmod 0700 it")
    with locked(folder / "keys.lock"):
        lmk_path, keys_path, audit_path = (folder / n for n in ("lmk", "keys.json", "audit.log"))
        if lmk_path.exists():
            lmk = load_lmk(lmk_path)
        elif keys_path.exists() or log_files(audit_path):
            raise KeystoreError(f"{lmk_path}: missing beside its key store; restore it")
        elif not may_generate_lmk:
            raise KeystoreError(f"{lmk_path}: missing; live mode needs the ceremony of docs/hsm.md")
        else:
            lmk = generate_lmk(lmk_path)
    store = Keystore(folder, lmk, worker=worker, audit_file_bytes=audit_file_bytes)
    if not keys_path.exists():
        store.rotate(wanted, now_s=now_s, destroyed_kept_s=destroyed_kept_s)
    store.refresh()
    return store


def _header(record: KeyRecord) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(record, wrapped=b""))


def _detail(record: KeyRecord) -> dict[str, str | int]:
    return {
        "id": record.id,
        "usage": record.usage,
        "algorithm": record.algorithm,
        "active_until_s": record.active_until_s,
        "destroy_at_s": record.destroy_at_s,
    }
