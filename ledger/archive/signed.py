"""What the archive's key signs beside manifests: JSON in a signed note (C2SP signed-note). Pure."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ledger.archive.errors import ArchiveError
from ledger.audit.notes import Note, NoteError, Signer, VerifierKey, sign_note

T = TypeVar("T", bound=msgspec.Struct)


def sign_document(document: msgspec.Struct, key: VerifierKey, signer: Signer) -> bytes:
    """A document as it is stored: its JSON, an empty line, the signature."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
    return bytes(sign_note(text, key, signer))


def read_document(data: bytes, key: VerifierKey, type_: type[T]) -> T:
    """Read what `sign_document` wrote.

    Raises:
        ArchiveError: it is malformed, or the key did not sign it.
    """
    try:
        note = Note.parse(data)
        note.check(key)
        document = msgspec.json.decode(note.text, type=type_)
    except NoteError as error:
        raise ArchiveError(str(error)) from error
    except msgspec.DecodeError as error:
        raise ArchiveError(f"it is malformed: {error}") from None
    if bytes(note) != data:
        raise ArchiveError("it is not as it was written")
    return document
