"""The Ed25519 keys of logs and witnesses as files, in the text form of C2SP's tools.

    <stem>.key   PRIVATE+KEY+name+keyid+base64(algorithm ‖ seed); for its owner alone
    <stem>.pub   name+keyid+base64(algorithm ‖ public key); for everyone

The form is that of `golang.org/x/mod/sumdb/note`, so whatever reads its notes reads these. In
production the private half belongs in a key-management service: `Signer` is all the log asks for.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Final

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chassis.durable import write_durably
from ledger.audit.notes import COSIGNATURE, ED25519, NoteError, VerifierKey, check_name

_PRIVATE: Final = "PRIVATE+KEY+"
_SEED_BYTES: Final = 32
_OWNER_ONLY: Final = 0o400
_READABLE: Final = 0o444


class KeyFileError(Exception):
    """A key file is missing, malformed or not its owner's alone; names the file, never the key."""


@frozen
class KeyPair:
    """Both halves of a key.

    Attributes:
        public: name, algorithm and public half.
    """

    public: VerifierKey
    _private: Ed25519PrivateKey = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature (RFC 8032), 64 bytes."""
        return self._private.sign(data)

    def __reduce__(self) -> str:
        raise TypeError("a key pair is not pickled")


def make_pair(name: str, algorithm: int, seed: bytes) -> KeyPair:
    """Make a key pair of 32 random bytes.

    Raises:
        NoteError: the name cannot stand in a note.
    """
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes_raw()
    return KeyPair(VerifierKey(check_name(name), algorithm, public), private)


def load_or_make(stem: Path, name: str, algorithm: int) -> KeyPair:
    """Load the key of a log or witness; at the very first start make it.

    Args:
        stem: path of the files without `.key` and `.pub`; the folder exists.
        name: that the key must have.
        algorithm: ED25519 or COSIGNATURE.

    Raises:
        KeyFileError: the file is another's, open to others, or no key.
        OSError: it cannot be read or written.
    """
    path = stem.with_suffix(".key")
    if not path.exists():
        seed = os.urandom(_SEED_BYTES)
        pair = make_pair(name, algorithm, seed)
        write_durably(path, _private_text(pair.public, seed).encode(), mode=_OWNER_ONLY)
    pair = load_pair(path)
    if (pair.public.name, pair.public.algorithm) != (name, algorithm):
        raise KeyFileError(f"{path} holds the key of {pair.public.name}, not of {name}")
    published = stem.with_suffix(".pub")
    text = f"{pair.public}\n"
    if not published.exists() or published.read_text() != text:
        write_durably(published, text.encode(), mode=_READABLE)
    return pair


def load_pair(path: Path) -> KeyPair:
    """Read a private key file.

    Raises:
        KeyFileError: it is open to others, or no key.
        OSError: it cannot be read.
    """
    if path.stat().st_mode & 0o077:
        raise KeyFileError(f"{path} is open to other users; it must be readable by its owner alone")
    text = path.read_text().strip()
    parts = text.removeprefix(_PRIVATE).split("+", 2)
    if not text.startswith(_PRIVATE) or len(parts) != 3:
        raise KeyFileError(f"{path} holds no private key")
    name, key_id, encoded = parts
    try:
        typed = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise KeyFileError(f"{path} holds no private key") from None
    if len(typed) != 1 + _SEED_BYTES or typed[0] not in {ED25519, COSIGNATURE}:
        raise KeyFileError(f"{path} holds a key that is not of an Ed25519 kind")
    pair = make_pair(name, typed[0], typed[1:])
    if pair.public.key_id.hex() != key_id:
        raise KeyFileError(f"{path}: the key's id does not fit its key")
    return pair


def load_public(path: Path) -> VerifierKey:
    """Read a public key file.

    Raises:
        KeyFileError: it cannot be read, or holds no key.
    """
    try:
        return VerifierKey.parse(path.read_text())
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KeyFileError(f"{path} is no text, so no key") from error
    except NoteError as error:
        raise KeyFileError(f"{path}: {error}") from error


def _private_text(public: VerifierKey, seed: bytes) -> str:
    typed = base64.b64encode(bytes([public.algorithm]) + seed).decode()
    return f"{_PRIVATE}{public.name}+{public.key_id.hex()}+{typed}\n"
