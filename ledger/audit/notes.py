"""Signed notes and checkpoints: the text by which a log commits itself to its whole past.

A *note* is lines of text, an empty line, and signature lines (C2SP signed-note). A *checkpoint* is
a note whose text is origin, size and root (C2SP tlog-checkpoint). A *cosignature* is a witness'
signature on the same text, with the time at which it saw that the log had only grown
(C2SP tlog-cosignature, version 1). Pure: keys come in, bytes go out.
"""

from __future__ import annotations

import base64
import binascii
import re
from hashlib import sha256
from typing import Final, Protocol, Self

import attrs
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ledger.audit.merkle import HASH_BYTES

ED25519: Final = 1  # the algorithm byte of a log's own signature
COSIGNATURE: Final = 4  # and of a witness' timestamped one
NOTE_BYTES_MAX: Final = 16_384  # a checkpoint has some 200 bytes; a stranger's may have more lines
_SIGNATURE_LINE: Final = re.compile(r"\u2014 ([^ +\n]+) ([A-Za-z0-9+/=]+)\n")
_TIME_BYTES: Final = 8


class NoteError(Exception):
    """A note, key or signature is malformed or wrong; the text says where, never a secret."""


class Signer(Protocol):
    """Whoever holds the private half: a key in memory, a file, a device."""

    def sign(self, data: bytes, /) -> bytes:
        """Return the Ed25519 signature (RFC 8032), 64 bytes."""
        ...


@attrs.frozen
class VerifierKey:
    """The public half under its name, in C2SP's text form `name+keyid+base64(algorithm ‖ key)`.

    Attributes:
        name: of the log or witness; no space, no plus sign.
        algorithm: ED25519 or COSIGNATURE.
        public: 32 bytes.
    """

    name: str
    algorithm: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256 over name, newline, algorithm and key."""
        return sha256(f"{self.name}\n".encode() + self._typed()).digest()[:4]

    def _typed(self) -> bytes:
        return bytes([self.algorithm]) + self.public

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self._typed()).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form.

        Raises:
            NoteError: it is not one, or its key id is another key's.
        """
        parts = text.strip().split("+", 2)  # base64 may hold more plus signs
        if len(parts) != 3 or not parts[0]:
            raise NoteError("a verifier key is name+keyid+key")
        name, key_id, encoded = parts
        typed = _base64(encoded, "the verifier key")
        if len(typed) != 1 + HASH_BYTES or typed[0] not in {ED25519, COSIGNATURE}:
            raise NoteError("the verifier key is not of an Ed25519 kind")
        key = cls(name, typed[0], typed[1:])
        if key.key_id.hex() != key_id:
            raise NoteError("the verifier key's id does not fit its key")
        return key

    def check(self, text: str, signature: bytes) -> int | None:
        """Check a signature of this key on a note's text; return a cosignature's time in s.

        Raises:
            NoteError: it is not this key's signature on this text.
        """
        at_s = None
        message = text.encode()
        if self.algorithm == COSIGNATURE:
            if len(signature) <= _TIME_BYTES:
                raise NoteError(f"the cosignature of {self.name} is cut short")
            at_s = int.from_bytes(signature[:_TIME_BYTES], "big")
            signature = signature[_TIME_BYTES:]
            message = cosigned_message(text, at_s)
        self.check_message(message, signature)
        return at_s

    def check_message(self, message: bytes, signature: bytes) -> None:
        """Check a bare Ed25519 signature (RFC 8032).

        Raises:
            NoteError: it is not this key's signature on these bytes.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise NoteError(f"the signature of {self.name} does not fit the text") from None


@attrs.frozen
class Checkpoint:
    """What a log says of itself.

    Attributes:
        origin: the log's name; unique, for its whole life.
        size: leaves.
        root: hash of the tree of so many leaves, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note's text: three lines, each with its newline."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a note's text; lines after the third are extensions, which nobody here has.

        Raises:
            NoteError: naming the line that is wrong.
        """
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0]:
            raise NoteError("a checkpoint is origin, size and root, a line each")
        if not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1], re.ASCII):
            raise NoteError("line 2 of the checkpoint is no number of leaves")
        root = _base64(lines[2], "line 3 of the checkpoint")
        if len(root) != HASH_BYTES:
            raise NoteError("line 3 of the checkpoint is no hash of 32 bytes")
        return cls(lines[0], int(lines[1]), root)


@attrs.frozen
class Note:
    """A text and who signed it, not yet checked.

    Attributes:
        text: lines, each with its newline.
        signatures: name, key id (4 bytes) and signature of each line, in their order.
    """

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]

    @classmethod
    def parse(cls, note: bytes) -> Self:
        """Take a note apart.

        Raises:
            NoteError: it is too long, not text, or has no signature lines.
        """
        if len(note) > NOTE_BYTES_MAX:
            raise NoteError(f"the note is longer than {NOTE_BYTES_MAX} bytes")
        try:
            whole = note.decode()
        except UnicodeDecodeError:
            raise NoteError("the note is not UTF-8") from None
        text, separator, tail = whole.rpartition("\n\n")
        lines = tail.splitlines(keepends=True)
        if not separator or not lines:
            raise NoteError("the note has no signatures")
        return cls(text + "\n", tuple(_signature_line(line) for line in lines))

    def check(self, key: VerifierKey) -> int | None:
        """Check this key's signature, which must be there; other keys' are left alone.

        Returns:
            The time of a cosignature in seconds, otherwise None.

        Raises:
            NoteError: the key did not sign, or its signature is wrong.
        """
        for name, key_id, signature in self.signatures:
            if (name, key_id) == (key.name, key.key_id):
                return key.check(self.text, signature)
        raise NoteError(f"the note is not signed by {key.name}")

    def __bytes__(self) -> bytes:
        lines = "".join(
            f"\u2014 {name} {base64.b64encode(key_id + signature).decode()}\n"
            for name, key_id, signature in self.signatures
        )
        return f"{self.text}\n{lines}".encode()


def sign_note(text: str, key: VerifierKey, signer: Signer) -> Note:
    """Sign a text as a log does."""
    return Note(text, ((key.name, key.key_id, signer.sign(text.encode())),))


def cosign(note: Note, key: VerifierKey, signer: Signer, at_s: int) -> Note:
    """Add a witness' signature of that second to a note."""
    stamp = at_s.to_bytes(_TIME_BYTES, "big")
    signature = stamp + signer.sign(cosigned_message(note.text, at_s))
    return attrs.evolve(note, signatures=(*note.signatures, (key.name, key.key_id, signature)))


def cosigned_message(text: str, at_s: int) -> bytes:
    """What a witness signs: the note's text under a heading that carries the time."""
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()


def check_name(name: str) -> str:
    """Return a name that may stand in a key and a signature line.

    Raises:
        NoteError: it may not.
    """
    if not name or any(character.isspace() or character == "+" for character in name):
        raise NoteError("a key's name has neither spaces nor plus signs")
    return name


def _signature_line(line: str) -> tuple[str, bytes, bytes]:
    match = _SIGNATURE_LINE.fullmatch(line)
    if match is None:
        raise NoteError("a line after the note's text is no signature")
    blob = _base64(match[2], f"the signature of {match[1]}")
    if len(blob) <= 4:
        raise NoteError(f"the signature of {match[1]} is cut short")
    return match[1], blob[:4], blob[4:]


def _base64(text: str, place: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError(f"{place} is not base64") from None
