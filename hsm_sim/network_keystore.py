"""The keys shared with card networks, on disk beside the others and apart from them.

    <data_dir>/hsm/
      network_keys.json    per network its key-exchange key (KEK) and session MAC keys, each wrapped
                           under the LMK with its record as AAD; absent until the first one comes
      network_keys.lock    taken by whoever changes them
      development/         KEKs of simulated networks; see `hsm_sim.development`

They have a file of their own because they change while payments flow: a new session key must not
make every worker unwrap 540 days of card keys again. As in `hsm_sim.keystore` readers take no lock
and look at the file's identity before each use, writers hold the lock from reading to replacing,
and an audit line is durable before its change is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chassis.durable import locked, write_durably
from chassis.mac import Cmac
from chassis.secrets import Key
from hsm_sim.audit import Entry
from hsm_sim.keystore import Keystore
from hsm_sim.lmk import KeystoreError
from hsm_sim.session_keys import KeyExchangeError, Ring, SessionKey, SessionState, living

KekOrigin = Literal["development", "components"]


class KekRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network's key-exchange key; everything but `wrapped` is bound to it as AAD."""

    network: str
    origin: KekOrigin
    check_value: str
    created_at_s: int
    wrapped: bytes = b""


class NetworkKeys(Struct, frozen=True, forbid_unknown_fields=True):
    """What is shared with one network."""

    kek: KekRecord | None = None
    ring: Ring = ()


class NetworkKeysFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What `network_keys.json` holds."""

    format: Literal[1]
    lmk_check_value: str
    networks: dict[str, NetworkKeys]


class WorkingKey(NamedTuple):
    """A session key ready for use; `expires_at_s` is checked at each use."""

    key_id: str
    state: SessionState
    expires_at_s: int
    cmac: Cmac


WorkingKeys = Mapping[str, Mapping[str, WorkingKey]]
"""Session keys by network and id, those of a network in the order in which they are tried."""

Change = tuple[NetworkKeys, list[Entry]]
_NOTHING: Final = NetworkKeys()


class NetworkKeystore:
    """The network keys of one store as last read.

    Args:
        store: whose folder, LMK and audit log they share.

    Attributes:
        networks: the records by network.
        working: the session keys, unwrapped.

    Raises:
        KeystoreError: the file is there and cannot be understood.
    """

    def __init__(self, store: Keystore) -> None:
        self.networks: Mapping[str, NetworkKeys] = {}
        self.working: WorkingKeys = {}
        self._store = store
        self._path = store.folder / "network_keys.json"
        self._path_text = str(self._path)
        self._identity: tuple[int, int, int] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Read the keys again if the file was replaced.

        Raises:
            KeystoreError: the file is gone, or cannot be understood, or a key was altered.
        """
        try:
            status = os.stat(self._path_text)  # noqa: PTH116 - twice as fast, before every batch
        except FileNotFoundError:
            if self._identity is None:
                return
            raise KeystoreError(f"{self._path}: is gone; restore it") from None
        except OSError as error:
            raise KeystoreError(f"{self._path}: {error.strerror}") from None
        identity = (status.st_ino, status.st_mtime_ns, status.st_size)
        if identity != self._identity:
            self._take_up(self._read())
            self._identity = identity

    def of(self, network: str) -> NetworkKeys:
        """What is shared with a network, as last read."""
        return self.networks.get(network, _NOTHING)

    def kek(self, network: str) -> Key:
        """Unwrap a network's key-exchange key.

        Raises:
            KeyExchangeError: no_kek.
            KeystoreError: its record was altered.
        """
        record = self.of(network).kek
        if record is None:
            raise KeyExchangeError("no_kek")
        return self._unwrap(record, f"kek of {network}")

    def material(self, key: SessionKey) -> Key:
        """Unwrap a session key.

        Raises:
            KeystoreError: its record was altered.
        """
        return self._unwrap(key, f"{key.network} {key.key_id}")

    def wrap_kek(self, record: KekRecord, key: bytes) -> KekRecord:
        """The record with its key."""
        return replace(record, wrapped=self._store.lmk.wrap(key, _header(record)))

    def wrap_session_key(self, record: SessionKey, key: bytes) -> SessionKey:
        """The record with its key."""
        return replace(record, wrapped=self._store.lmk.wrap(key, _header(record)))

    def change(
        self, network: str, plan: Callable[[NetworkKeys], Change], *, now_s: int
    ) -> NetworkKeys:
        """Change a network's keys durably, by a plan made while nobody else can change them.

        Args:
            network: whose keys.
            plan: from the keys of this instant, dead ones left out, to those that shall be and
                to what the audit log says of it. Records that it changed are wrapped again; of
                keys that it left out the log says so without it.
            now_s: seconds since 1970.

        Raises:
            KeystoreError: the keys cannot be read.
            AuditError: the audit log cannot be continued; no key was changed.
            OSError: log or keys cannot be written; no key was changed.
            Exception: whatever `plan` raises; no key was changed.
        """
        with locked(self._store.folder / "network_keys.lock"):
            if self._path.exists():  # whatever its identity: nothing that was written may be lost
                self._take_up(self._read())
            before = self.of(network)
            after, entries = plan(replace(before, ring=living(before.ring, now_s)))
            kept = {key.wrapped for key in after.ring}
            dead = [key for key in before.ring if key.wrapped not in kept]
            entries = entries + [("session_key_destroyed", detail_of(key)) for key in dead]
            if entries:
                self._store.audit_log().append(entries, at_s=now_s)
            if after != before:
                self._write({**self.networks, network: self._wrapped_again(before, after)})
                self.refresh()
        return after

    def note(self, entry: Entry, *, now_s: int) -> None:
        """Write to the audit log what changed no key. Raises as `change`."""
        self._store.audit_log().append([entry], at_s=now_s)

    def sweep(self, *, now_s: int) -> int:
        """Destroy on disk the session keys whose overlap is over; returns how many.

        Raises:
            KeystoreError: the keys cannot be read.
            AuditError, OSError: as `change`.
        """
        self.refresh()
        destroyed = 0
        for network, keys in self.networks.items():
            dead = len(keys.ring) - len(living(keys.ring, now_s))
            if dead:
                self.change(network, lambda alive: (alive, []), now_s=now_s)
                destroyed += dead
        return destroyed

    def _take_up(self, networks: Mapping[str, NetworkKeys]) -> None:
        self.networks = networks
        self.working = {
            name: {key.key_id: self._ready(key) for key in keys.ring}
            for name, keys in networks.items()
        }

    def _wrapped_again(self, before: NetworkKeys, after: NetworkKeys) -> NetworkKeys:
        """Bind keys to records that have changed; a wrap that fits its record is left alone."""
        by_wrap = {key.wrapped: key for key in before.ring}
        ring = []
        for key in after.ring:
            old = by_wrap.get(key.wrapped, key)
            if old != key:
                key = self.wrap_session_key(key, self.material(old).reveal())  # noqa: PLW2901
            ring.append(key)
        return replace(after, ring=tuple(ring))

    def _ready(self, key: SessionKey) -> WorkingKey:
        cmac = Cmac(self.material(key).reveal())
        return WorkingKey(key.key_id, key.state, key.expires_at_s, cmac)

    def _unwrap(self, record: KekRecord | SessionKey, name: str) -> Key:
        return Key(self._store.lmk.unwrap(record.wrapped, _header(record), name=name))

    def _write(self, networks: Mapping[str, NetworkKeys]) -> None:
        content = NetworkKeysFile(1, self._store.lmk.check_value, dict(networks))
        write_durably(self._path, msgspec.json.format(msgspec.json.encode(content)))

    def _read(self) -> Mapping[str, NetworkKeys]:
        try:
            content = msgspec.json.decode(self._path.read_bytes(), type=NetworkKeysFile)
        except OSError as error:
            raise KeystoreError(f"{self._path}: {error.strerror}") from None
        except msgspec.MsgspecError as error:
            raise KeystoreError(f"{self._path}: {error}; restore it") from None
        if content.lmk_check_value != self._store.lmk.check_value:
            raise KeystoreError(
                f"{self._path}: wrapped under the LMK with check value {content.lmk_check_value}, "
                f"not under {self._store.lmk.check_value}; restore the right one"
            )
        return content.networks


def detail_of(key: SessionKey) -> dict[str, str | int]:
    """A session key as the audit log names it."""
    return {"network": key.network, "key_id": key.key_id, "check_value": key.check_value}


def _header(record: KekRecord | SessionKey) -> bytes:
    return msgspec.json.encode(replace(record, wrapped=b""))
