"""The working keys of a process: unwrapped, indexed, ready for use.

A vault is built from the key store when it changes and replaced as a whole, so that a batch sees
one generation of keys. What is constant for a key is computed here, once, not per card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hsm_sim.backends.native import NativeBackend
from hsm_sim.envelope import info_prefix, sealed_chars
from hsm_sim.hpke import SUITES, Backend, Recipient
from hsm_sim.keys import ALGORITHM_SUITES, KeyRecord, Usage
from hsm_sim.keystore import Keystore
from hsm_sim.lmk import KeystoreError
from hsm_sim.seal import CARD_LABEL, SECRET_LABEL, Fingerprint, Sealer
from hsm_sim.wire import CaptureKey


class Capture(NamedTuple):
    """A capture key with what is constant for it."""

    recipient: Recipient
    sealed_chars: int
    destroy_at_s: int
    info_prefix_test: bytes
    info_prefix_live: bytes


class Vault:
    """One generation of working keys.

    Attributes:
        captures: by kid; dates are checked at each use.
        expired: kids of capture keys that are destroyed but not yet forgotten.
        cards_until: when each version of the card key dies, in seconds since 1970; 0 = is dead.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        captures: dict[str, Capture],
        expired: frozenset[str],
        cards_until: Mapping[int, int],
        cards: Sealer,
        secrets: Sealer,
        fingerprint: Fingerprint,
        records: Sequence[KeyRecord],
    ) -> None:
        self.backend = backend
        self.captures = captures
        self.expired = expired
        self.cards_until = cards_until
        self.cards = cards
        self.secrets = secrets
        self.fingerprint = fingerprint
        self._capture_records = sorted(
            (record for record in records if record.usage == "capture"),
            key=lambda record: (-record.created_at_s, ALGORITHM_SUITES[record.algorithm]),
        )

    def public_keys(self, now_s: int) -> list[CaptureKey]:
        """The capture keys that open at `now_s`, newest first, suite 1 before suite 2."""
        return [
            CaptureKey(
                kid=record.id,
                suite=ALGORITHM_SUITES[record.algorithm],
                public_key=record.public_key,
                state=state,
                not_after=record.destroy_at_s,
            )
            for record in self._capture_records
            if (state := record.state(now_s)) != "destroyed"
        ]


def build_vault(store: Keystore, *, now_s: int) -> Vault:
    """Unwrap every key that lives at `now_s`.

    Raises:
        KeystoreError: a key does not unwrap, or a purpose has none.
    """
    living = [record for record in store.records if record.state(now_s) != "destroyed"]
    backend = NativeBackend()
    captures = {}
    for record in living:
        if record.usage == "capture":
            suite = SUITES[ALGORITHM_SUITES[record.algorithm]]
            backend.load(record.id, suite.number, store.material(record).reveal())
            captures[record.id] = Capture(
                Recipient(record.id, suite, record.public_key),
                sealed_chars(suite),
                record.destroy_at_s,
                info_prefix(record.id, live=False),
                info_prefix(record.id, live=True),
            )
    fingerprints = _materials(store, living, "fingerprint")
    return Vault(
        backend=backend,
        captures=captures,
        expired=frozenset(
            record.id
            for record in store.records
            if record.usage == "capture" and record.id not in captures
        ),
        cards_until={
            record.version: record.destroy_at_s if record.wrapped else 0
            for record in store.records
            if record.usage == "card"
        },
        cards=Sealer(CARD_LABEL, _materials(store, living, "card")),
        secrets=Sealer(SECRET_LABEL, _materials(store, living, "secret")),
        fingerprint=Fingerprint(fingerprints[max(fingerprints)]),
        records=store.records,
    )


def _materials(store: Keystore, living: Sequence[KeyRecord], usage: Usage) -> dict[int, bytes]:
    keys = {
        record.version: store.material(record).reveal()
        for record in living
        if record.usage == usage
    }
    if not keys:
        raise KeystoreError(f"the key store has no {usage} key; restore it")
    return keys
