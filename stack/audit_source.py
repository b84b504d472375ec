"""Which records `turnout audit` reads: the stream's segments, and before them an archive's."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from ledger.audit.keys import load_public
from ledger.audit.notes import VerifierKey
from ledger.audit.whole_stream import Archived, WholeStream, checked_head
from ledger.stream.segments.files import shard_folder
from stack.archive_place import archive_key_stem, archive_url
from stack.options import Place

SHARD: Final = 0
OWN: Final = ""  # instead of an address: the archive that the settings name


class ExtraMissingError(Exception):
    """What reads archives is not installed."""


@frozen
class Source:
    """What a command was told of an archive.

    Attributes:
        archive: a folder or URL; OWN; None: no archive is read.
        key: the archive's public key; None believes the one of the data directory.
    """

    archive: str | None = None
    key: VerifierKey | None = None


SEGMENTS_ALONE: Final = Source()


def whole_stream(place: Place, log_key: VerifierKey, source: Source) -> WholeStream:
    """The stream of a place from its first record on, as far as it is at hand.

    Raises:
        NoteError: where its segments begin is not what the archive's key signed.
        KeyFileError: an archive is to be read, and its key is not at hand.
        StoreError: its address cannot be used.
        ExtraMissingError: what reads it is not installed.
    """
    folder = shard_folder(place.data_dir, SHARD)
    path = archive_key_stem(place).with_suffix(".pub")
    key = source.key
    if key is None and (path.exists() or source.archive is not None):
        key = load_public(path)
    archived = None
    if source.archive is not None and key is not None:
        archived = _reading(place, source.archive or archive_url(place), key, log_key)
    return WholeStream(folder, SHARD, checked_head(folder, key), archived)


def _reading(place: Place, url: str, key: VerifierKey, log_key: VerifierKey) -> Archived:
    try:
        from ledger.archive.entries import ArchivedRecords  # noqa: PLC0415  an extra
        from ledger.archive.store import open_store  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"{error.name} is missing: pip install 'turnout[archive]'"
        ) from None
    return ArchivedRecords(open_store(url, place.settings.archive), SHARD, key, log_key)
