"""Where the archive of a data directory lies, and its key."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ledger.archive.catalog import FOLDER
from stack.options import Place

ARCHIVE_FOLDER: Final = "archive"
KEY_STEM: Final = "archive"


def archive_url(place: Place) -> str:
    """Where the archive's objects lie: a folder, or a bucket's URL."""
    return place.settings.archive.url or str(place.data_dir / ARCHIVE_FOLDER)


def archive_key_stem(place: Place) -> Path:
    """The files of the archive's key, without `.key` and `.pub`."""
    return place.data_dir / FOLDER / KEY_STEM
