"""Keys shared with a network, for tests: the network's side of an exchange."""

from __future__ import annotations

import os
from pathlib import Path

from chassis.key_block import KeyAttributes, padding_bytes, wrap_key
from chassis.mac import check_value_text
from chassis.secrets import Key
from hsm_sim.keks import install_kek
from hsm_sim.network_keystore import NetworkKeystore
from hsm_sim.wire import ImportSessionKey
from tests.support.hsm import NOW_S, open_store

NETWORK = "vsim"
KEK = bytes(range(100, 132))
FIRST, SECOND, THIRD = (bytes([number]) * 16 for number in (1, 2, 3))
MAC_KEY = KeyAttributes("M6", "A", "C")


def network_keystore(folder: Path, *, kek: bytes | None = KEK, worker: int = 0) -> NetworkKeystore:
    """The network keys of a store in `folder`, with a key-exchange key of `NETWORK` unless None."""
    store = NetworkKeystore(open_store(folder, worker=worker))
    if kek is not None and store.of(NETWORK).kek is None:
        install_kek(store, NETWORK, Key(kek), origin="components", detail={}, now_s=NOW_S)
    return store


def key_import(
    key: bytes,
    key_id: str,
    *,
    network: str = NETWORK,
    kek: bytes = KEK,
    attributes: KeyAttributes = MAC_KEY,
) -> ImportSessionKey:
    """What the switch passes on when a network sends a session key."""
    block = wrap_key(kek, key, attributes, padding=os.urandom(padding_bytes(key)))
    return ImportSessionKey(network, key_id, block, check_value_text(key))
