"""Key-exchange keys of simulated networks: the development PKI's counterpart for MACs.

A real network brings its key-exchange key (KEK) in components. A simulated one gets a random one,
in two files: one that only the network can read and one that only the HSM can. The HSM takes its
file in at the start in test mode; in live mode it refuses a KEK that came this way.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from chassis.durable import write_durably
from chassis.mac import check_value_text
from chassis.secrets import Key

KEK_BYTES: Final = 32
_FILE_BYTES_MAX: Final = 4_096


class DevelopmentKekError(Exception):
    """A file is no KEK of this network, or open to others; names it, shows no key."""


class KekFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file holds, as JSON."""

    format: Literal[1] = 1
    purpose: Literal["development"] = "development"
    network: str
    check_value: str
    key: str  # hex

    def __repr__(self) -> str:
        """The network and the check value."""
        return f"KekFile({self.network}, {self.check_value})"

    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same for rich, which lists fields instead of asking `repr`."""
        return [("network", self.network), ("check_value", self.check_value)]


def network_kek_path(folder: Path, network: str) -> Path:
    """The simulated network's own copy."""
    return folder / f"{network}.kek"


def hsm_kek_path(folder: Path, network: str) -> Path:
    """The HSM's copy."""
    return folder / f"{network}-hsm.kek"


def development_keks(
    folder: Path, networks: Iterable[str], *, random: Callable[[int], bytes] = os.urandom
) -> None:
    """Make both copies for each network where they are missing or differ; mode 0600.

    Idempotent: the network's copy leads, so that a network that goes on running keeps its key.

    Args:
        folder: where, such as `<data-dir>/networks`; made if missing.
        networks: by name.
        random: draws so many random bytes.

    Raises:
        OSError: the folder is not writable.
        DevelopmentKekError: a file there holds something else than we wrote.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for network in networks:
        theirs, ours = network_kek_path(folder, network), hsm_kek_path(folder, network)
        if not theirs.exists():
            _write(theirs, network, random(KEK_BYTES))
        key = read_development_kek(theirs, network)
        if not ours.exists() or read_development_kek(ours, network) != key:
            _write(ours, network, key.reveal())


def read_development_kek(path: Path, network: str) -> Key:
    """Read the KEK of a simulated network.

    Raises:
        DevelopmentKekError: it cannot be read, is another network's, is damaged, or others than
            its owner may read it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            raw = file.read(_FILE_BYTES_MAX)
    except OSError as error:
        raise DevelopmentKekError(f"{path}: cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise DevelopmentKekError(f"{path}: others may read it (mode {mode:04o}); chmod 0600 it")
    try:
        content = msgspec.json.decode(raw, type=KekFile)
        key = bytes.fromhex(content.key)
    except (msgspec.MsgspecError, ValueError):  # neither may be chained: they can quote the key
        raise DevelopmentKekError(f"{path}: not a KEK file; remove it to have one made") from None
    if content.network != network:
        raise DevelopmentKekError(f"{path}: not of network {network}")
    if len(key) != KEK_BYTES or check_value_text(key) != content.check_value:
        raise DevelopmentKekError(f"{path}: damaged; remove it to have one made")
    return Key(key)


def _write(path: Path, network: str, key: bytes) -> None:
    content = KekFile(network=network, check_value=check_value_text(key), key=key.hex())
    write_durably(path, msgspec.json.format(msgspec.json.encode(content)) + b"\n")
