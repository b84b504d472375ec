"""Where a stream begins once its oldest segments were removed: the file `head.note`.

It is written before a segment goes, by whoever removes it (`ledger.archive.trimming`), and says
from which record on the segments are here, and where the others went. It is a signed note whose
text is JSON: readers take its word for where to send people; a verification holds it to its
signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec

from ledger.stream.errors import StreamMissingError

NAME: Final = "head.note"
FORMAT: Final = "turnout-stream-head/1"
HEAD_BYTES_MAX: Final = 16_384
_BEHIND_TEXT: Final = "\n\n"  # of a note: then its signatures


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As in the text.

    Attributes:
        format: FORMAT.
        shard: of the stream.
        first_offset: of the oldest record that is here.
        predecessor: SHA-256 of the newest segment that went, in hex.
        removed_at_us: when it went, Unix microseconds.
        archive: where it is: a folder or a URL.
    """

    format: str
    shard: Annotated[int, msgspec.Meta(ge=0)]
    first_offset: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    predecessor: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    removed_at_us: int
    archive: str


class StreamRemovedError(StreamMissingError):
    """What was asked for has left the stream, and lies in the archive.

    Attributes:
        offset: that was asked for.
        first_offset: of the oldest record that is here.
        archive: where the others are.
    """

    def __init__(self, offset: int, head: Head) -> None:
        super().__init__(
            f"the stream does not hold offset {offset}: records before {head.first_offset} are in "
            f"the archive, {head.archive}; turnout archive restore brings them back"
        )
        self.offset = offset
        self.first_offset = head.first_offset
        self.archive = head.archive


def decode_head(text: str) -> Head:
    """Read a head's text.

    Raises:
        ValueError: it is none; says why.
    """
    try:
        head = msgspec.json.decode(text, type=Head)
    except msgspec.DecodeError as error:
        raise ValueError(f"it is malformed: {error}") from None
    if head.format != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    return head


def read_head(folder: Path) -> Head | None:
    """Where a stream begins, without a look at the signature; None if nothing was ever removed.

    Raises:
        ValueError: the file is none.
        OSError: it cannot be read.
    """
    try:
        note = (folder / NAME).read_bytes()[:HEAD_BYTES_MAX]
    except FileNotFoundError:
        return None
    return decode_head(note.decode(errors="replace").rpartition(_BEHIND_TEXT)[0])


def missing(folder: Path, wanted: int, segments: Sequence[int]) -> StreamMissingError:
    """Say why a stream does not hold an offset that lies before its oldest segment."""
    try:
        head = read_head(folder)
    except (ValueError, OSError):
        head = None
    if head is not None and wanted < head.first_offset:
        return StreamRemovedError(wanted, head)
    begins = f"the oldest segment begins at {segments[0]}" if segments else "it is empty"
    return StreamMissingError(f"the stream does not hold offset {wanted}: {begins}")
