"""Private capture keys in this process's memory, by `cryptography`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

_P256: Final = ec.SECP256R1()
_ECDH: Final = ec.ECDH()
_POINT_BYTES: Final = 65  # 0x04 ‖ x ‖ y
_SCALAR_BYTES: Final = 32
_X25519_DER: Final = bytes.fromhex("302a300506032b656e032100")  # what precedes the key: RFC 8410, 4


class NativeBackend:
    """Key objects by kid, kept ready: parsing a private key costs as much as using it.

    Python cannot wipe these objects. A vault that is replaced drops its backend with them.
    """

    def __init__(self) -> None:
        self._agree: dict[str, Callable[[bytes], bytes]] = {}

    def dh(self, kid: str, enc: bytes) -> bytes:
        """Agree on a secret with `enc` (see `hsm_sim.hpke.Backend`)."""
        return self._agree[kid](enc)

    def load(self, kid: str, suite_number: int, private_key: bytes) -> None:
        """Hold a private key of 32 bytes (X25519 seed, or big-endian P-256 scalar)."""
        self._agree[kid] = (
            _x25519_agreement(private_key) if suite_number == 1 else _p256_agreement(private_key)
        )


def _x25519_agreement(private_key: bytes) -> Callable[[bytes], bytes]:
    exchange = X25519PrivateKey.from_private_bytes(private_key).exchange

    def agree(enc: bytes) -> bytes:
        # The DER form is read by native code alone; `from_public_bytes` asks a Python object
        # first, every time. Another length than 32 contradicts the lengths in front.
        public_key = load_der_public_key(_X25519_DER + enc)
        return exchange(cast("X25519PublicKey", public_key))  # zero output: ValueError

    return agree


def _p256_agreement(private_key: bytes) -> Callable[[bytes], bytes]:
    exchange = ec.derive_private_key(int.from_bytes(private_key, "big"), _P256).exchange

    def agree(enc: bytes) -> bytes:
        if len(enc) != _POINT_BYTES:  # a compressed point is no HPKE encapsulation
            raise ValueError("length of a P-256 point")
        return exchange(_ECDH, ec.EllipticCurvePublicKey.from_encoded_point(_P256, enc))

    return agree


def generate_private_key(suite_number: int) -> bytes:
    """Draw a private key: 32 bytes in the form that `NativeBackend.load` takes."""
    if suite_number == 1:
        return X25519PrivateKey.generate().private_bytes_raw()
    scalar = ec.generate_private_key(_P256).private_numbers().private_value
    return scalar.to_bytes(_SCALAR_BYTES, "big")


def public_key(suite_number: int, private_key: bytes) -> bytes:
    """Compute the raw public half: 32 bytes (X25519) or the 65-byte uncompressed point."""
    if suite_number == 1:
        return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()
    key = ec.derive_private_key(int.from_bytes(private_key, "big"), _P256)
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
