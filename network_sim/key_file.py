"""The file in which a network keeps its MAC keys: `<data-dir>/networks/<name>.keys`.

One JSON document, the keys in it wrapped under the key-exchange key. It is written in place and in
one call, because the folder may not be ours to make another file in; a file that a kill has cut
short is like an empty one: the acquirer asks for a new key.
"""

from __future__ import annotations

import os
from pathlib import Path

from chassis.log import get_logger
from network_sim.keys import KeysError, KeyServer

log = get_logger(__name__)


def load_keys(keys: KeyServer, path: Path) -> None:
    """Take back what is kept, if anything is.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    if not data:
        return
    try:
        keys.load(data)
    except KeysError as error:
        log.warning("kept MAC keys cannot be used", file=str(path), reason=str(error))


def save_keys(keys: KeyServer, path: Path) -> None:
    """Keep the keys; raises OSError."""
    data = keys.dump()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
