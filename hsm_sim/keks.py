"""Key-exchange keys: how the first key that we share with a network comes in.

Nobody may know it alone (dual control and split knowledge, as PCI PIN Security has it): the network
sends two or three people a component each, on paper, with its check value, and the key is the XOR
of the components. Whoever holds all but one knows nothing of the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from chassis.mac import check_value_text
from chassis.secrets import Key
from hsm_sim.audit import Entry
from hsm_sim.network_keystore import (
    Change,
    KekOrigin,
    KekRecord,
    NetworkKeys,
    NetworkKeystore,
)
from hsm_sim.session_keys import KeyExchangeError, same_check_value
from hsm_sim.wire import NetworkKey

KEK_BYTES: Final = 32  # AES-256: no key that it will ever wrap is stronger
_COMPONENTS: Final = (2, 3)


def combine(components: Sequence[bytes], check_values: Sequence[str]) -> bytes:
    """The XOR of components.

    Raises:
        KeyExchangeError: bad_component for another number, length or two that are the same (they
            would cancel out); wrong_check_value for a component that is not what its owner holds.
    """
    if len(components) not in _COMPONENTS or len(check_values) != len(components):
        raise KeyExchangeError("bad_component")
    if any(len(each) != KEK_BYTES for each in components) or len(set(components)) != len(
        components
    ):
        raise KeyExchangeError("bad_component")
    for each, check_value in zip(components, check_values, strict=True):
        if not same_check_value(check_value, check_value_text(each)):
            raise KeyExchangeError("wrong_check_value")
    combined = 0
    for each in components:
        combined ^= int.from_bytes(each, "big")
    if not combined:  # of three, one is the XOR of the others
        raise KeyExchangeError("bad_component")
    return combined.to_bytes(KEK_BYTES, "big")


def install_kek(
    store: NetworkKeystore,
    network: str,
    material: Key,
    *,
    origin: KekOrigin,
    detail: dict[str, str | int],
    now_s: int,
) -> KekRecord:
    """Make a key the key-exchange key of a network; session keys stay as they are.

    Args:
        store: where.
        network: whose.
        material: 32 bytes.
        origin: where it comes from.
        detail: what the audit log says besides network, origin and check value.
        now_s: seconds since 1970.

    Raises:
        KeystoreError, AuditError, OSError: as `NetworkKeystore.change`.
    """
    check_value = check_value_text(material.reveal())
    record = store.wrap_kek(
        KekRecord(network=network, origin=origin, check_value=check_value, created_at_s=now_s),
        material.reveal(),
    )

    def plan(shared: NetworkKeys) -> Change:
        about: dict[str, str | int] = {"network": network, "check_value": check_value}
        entries: list[Entry] = [("kek_loaded", {**about, "origin": origin, **detail})]
        if shared.kek is not None:
            old = {"network": network, "check_value": shared.kek.check_value}
            entries.append(("kek_destroyed", dict(old)))
        return replace(shared, kek=record), entries

    store.change(network, plan, now_s=now_s)
    return record


def shown_kek(record: KekRecord) -> NetworkKey:
    """The key as clients see it."""
    return NetworkKey(
        network=record.network,
        usage="kek",
        key_id="",
        state="current",
        origin=record.origin,
        check_value=record.check_value,
        created_at=record.created_at_s,
        confirmed_at=0,
        promoted_at=0,
        expires_at=0,
    )
