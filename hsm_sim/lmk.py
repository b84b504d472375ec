"""The local master key: the one key that is not wrapped, and how it wraps the others.

The LMK is 32 raw bytes in `<data_dir>/hsm/lmk`, readable by the HSM's user alone. In test mode it
is drawn at the first start. In live mode it must be there already: `docs/hsm.md` describes the
ceremony that makes it from the components of three officers.

A key is wrapped by AES-256-GCM with a random nonce; its record without the wrapped part is the
AAD, so dates, usage and algorithm cannot be changed without breaking the wrap.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chassis.durable import write_durably
from chassis.mac import check_value

LMK_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class KeystoreError(Exception):
    """The key store cannot be used; names the file and how to mend it, never a key."""


class LMK:
    """Wraps and unwraps; shows its check value and nothing else."""

    def __init__(self, key: bytes) -> None:
        if len(key) != LMK_BYTES:
            raise KeystoreError(f"an LMK has {LMK_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        self.check_value = check_value(key).hex()

    def wrap(self, key: bytes, header: bytes) -> bytes:
        """Encrypt a key, bound to the header of its record."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, header)

    def unwrap(self, wrapped: bytes, header: bytes, *, name: str) -> bytes:
        """Decrypt a key.

        Raises:
            KeystoreError: the record `name` was altered, or wrapped under another LMK.
        """
        nonce, ciphertext = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, ciphertext, header)
        except (InvalidTag, ValueError):
            raise KeystoreError(
                f"key {name} does not unwrap: its record was altered; restore the key store"
            ) from None


def load_lmk(path: Path) -> LMK:
    """Read the LMK from its file.

    Raises:
        KeystoreError: it cannot be read, has another length, or others may read it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read(LMK_BYTES + 1)
    except OSError as error:
        raise KeystoreError(f"{path}: the LMK cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise KeystoreError(f"{path}: others may read the LMK (mode {mode:04o}); chmod 0600 it")
    if len(key) != LMK_BYTES:
        raise KeystoreError(f"{path}: an LMK has exactly {LMK_BYTES} bytes")
    return LMK(key)


def generate_lmk(path: Path) -> LMK:
    """Draw an LMK and write it durably (test mode)."""
    key = os.urandom(LMK_BYTES)
    write_durably(path, key)
    return LMK(key)
