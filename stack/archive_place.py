"""Where the archive of a data directory lies, and its key."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from chassis.durable import locked
from ledger.archive.catalog import FOLDER
from ledger.audit.keys import KeyPair, load_or_make
from ledger.audit.notes import ED25519, VerifierKey
from stack.options import Place

ARCHIVE_FOLDER: Final = "archive"
KEY_STEM: Final = "archive"
KEY_LOCK: Final = "key.lock"


def archive_url(place: Place) -> str:
    """Where the archive's objects lie: a folder, or a bucket's URL."""
    return place.settings.archive.url or str(place.data_dir / ARCHIVE_FOLDER)


def archive_key_stem(place: Place) -> Path:
    """The files of the archive's key, without `.key` and `.pub`."""
    return place.data_dir / FOLDER / KEY_STEM


def archive_pair(place: Place, log_key: VerifierKey) -> KeyPair:
    """The archive's key, made by whoever needs it first: of two at once, by one.

    The folder of the archive's work exists.

    Raises:
        KeyFileError: the file is another's, open to others, or no key.
        OSError: it cannot be read or written.
    """
    with locked(place.data_dir / FOLDER / KEY_LOCK):
        return load_or_make(archive_key_stem(place), f"{log_key.name}/archive", ED25519)
