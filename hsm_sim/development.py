"""Key-exchange keys of simulated networks: taken in in test mode, refused in live mode."""

from __future__ import annotations

from pathlib import Path

from chassis.development_keks import DevelopmentKekError, hsm_kek_path, read_development_kek
from chassis.mac import check_value_text
from chassis.settings.tree import Settings
from hsm_sim.keks import install_kek
from hsm_sim.lmk import KeystoreError
from hsm_sim.network_keystore import NetworkKeystore


def take_development_keks(
    store: NetworkKeystore, data_dir: Path, settings: Settings, *, now_s: int
) -> None:
    """Take in the KEK of each simulated network that has one and is not known yet.

    A KEK that people brought is left alone.

    Raises:
        KeystoreError: a file is there and unusable.
        AuditError, OSError: as `NetworkKeystore.change`.
    """
    simulated = [name for name, network in settings.networks.items() if network.simulate]
    for network in simulated:
        path = hsm_kek_path(data_dir / "networks", network)
        known = store.of(network).kek
        if (known is not None and known.origin != "development") or not path.exists():
            continue
        try:
            key = read_development_kek(path, network)
        except DevelopmentKekError as error:
            raise KeystoreError(str(error)) from None
        if known is None or known.check_value != check_value_text(key.reveal()):
            install_kek(store, network, key, origin="development", detail={}, now_s=now_s)


def refuse_development_keks(store: NetworkKeystore) -> None:
    """Refuse, in live mode, a key that lies on disk in the clear beside its network.

    Raises:
        KeystoreError: names the network and what to do.
    """
    for network, shared in store.networks.items():
        if shared.kek is not None and shared.kek.origin == "development":
            raise KeystoreError(
                f"the key-exchange key of network {network} is a development key, which live mode "
                "refuses; use a --data-dir of its own and load the network's own key there "
                "(turnout hsm load-kek)"
            )
