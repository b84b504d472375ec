"""The own key schedule against RFC 9180's vectors and a foreign implementation."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm_sim.backends import native
from hsm_sim.hpke import SUITES, TAG_BYTES, OpenError, Recipient, open_into

ORACLES = {
    1: Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM),
    2: Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_128_GCM),
}
SUITE_OF_KEM = {suite.kem_id: suite.number for suite in SUITES.values()}
PRIVATE = bytes(range(1, 33))


def _vectors(**wanted: int) -> list[dict[str, Any]]:
    text = (files("cryptography_vectors") / "HPKE" / "test-vectors.json").read_text()
    return [
        vector
        for vector in json.loads(text)
        if vector["mode"] == 0
        and vector["kem_id"] in SUITE_OF_KEM
        and all(vector[name] == value for name, value in wanted.items())
    ]


OURS = _vectors(kdf_id=1, aead_id=1)
SAME_KEM = _vectors(kdf_id=1)


def _hex(vector: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


def _recipient(number: int, private: bytes) -> tuple[native.NativeBackend, Recipient]:
    backend = native.NativeBackend()
    backend.load("key", number, private)
    return backend, Recipient("key", SUITES[number], native.public_key(number, private))


def _open(
    number: int, private: bytes, sealed: bytes, info: bytes, aad: bytes | None = None
) -> bytes:
    backend, recipient = _recipient(number, private)
    buffer = bytearray(max(0, len(sealed) - recipient.suite.enc_bytes - TAG_BYTES))
    open_into(buffer, backend=backend, recipient=recipient, sealed=sealed, info=info, aad=aad)
    return bytes(buffer)


def _oracle_seal(number: int, plaintext: bytes, info: bytes) -> bytes:
    raw = native.public_key(number, PRIVATE)
    key: X25519PublicKey | EllipticCurvePublicKey
    if number == 1:
        key = X25519PublicKey.from_public_bytes(raw)
    else:
        key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), raw)
    return ORACLES[number].encrypt(plaintext, key, info)


def test_both_suites_have_vectors() -> None:
    """The tests below do not pass for want of cases."""
    assert sorted(SUITE_OF_KEM[vector["kem_id"]] for vector in OURS) == [1, 2]
    assert len(SAME_KEM) == 8


@pytest.mark.parametrize("vector", SAME_KEM, ids=lambda v: f"{v['kem_id']}-{v['aead_id']}")
def test_rfc_vectors_of_the_kem(vector: dict[str, Any]) -> None:
    """Agreement and decapsulation give the RFC's shared secret, from the RFC's own keys."""
    number = SUITE_OF_KEM[vector["kem_id"]]
    private, public, enc, expected = _hex(vector, "skRm", "pkRm", "enc", "shared_secret")
    backend, recipient = _recipient(number, private)
    assert recipient.public_key == public
    shared_secret = SUITES[number].shared_secret(backend.dh("key", enc), enc, public)
    assert shared_secret == expected


@pytest.mark.parametrize("vector", OURS, ids=lambda v: str(v["kem_id"]))
def test_rfc_vectors_of_the_key_schedule(vector: dict[str, Any]) -> None:
    """Every intermediate value of the schedule is the RFC's."""
    names = ("key_schedule_context", "secret", "key", "base_nonce")
    shared_secret, info = _hex(vector, "shared_secret", "info")
    schedule = SUITES[SUITE_OF_KEM[vector["kem_id"]]].key_schedule(shared_secret, info)
    assert schedule._asdict() == dict(zip(names, _hex(vector, *names), strict=True))


@pytest.mark.parametrize("vector", OURS, ids=lambda v: str(v["kem_id"]))
def test_rfc_vectors_open(vector: dict[str, Any]) -> None:
    """The first encryption of each vector opens, with its aad and with nothing else."""
    private, enc, info = _hex(vector, "skRm", "enc", "info")
    ciphertext, aad, plaintext = _hex(vector["encryptions"][0], "ct", "aad", "pt")
    number = SUITE_OF_KEM[vector["kem_id"]]
    assert _open(number, private, enc + ciphertext, info, aad) == plaintext
    with pytest.raises(OpenError):
        _open(number, private, enc + ciphertext, info, aad + b"x")
    with pytest.raises(OpenError):
        _open(number, private, enc + ciphertext, info)


@pytest.mark.parametrize("number", [1, 2])
@settings(max_examples=20, deadline=None)
@given(plaintext=st.binary(max_size=300), info=st.binary(max_size=200))
def test_opens_what_a_foreign_sender_seals(number: int, plaintext: bytes, info: bytes) -> None:
    """What `cryptography` seals, the own schedule opens, under the same info only."""
    sealed = _oracle_seal(number, plaintext, info)
    assert _open(number, PRIVATE, sealed, info) == plaintext
    with pytest.raises(OpenError):
        _open(number, PRIVATE, sealed, info + b"\x00")


@pytest.mark.parametrize("number", [1, 2])
@settings(max_examples=20, deadline=None)
@given(plaintext=st.binary(max_size=300), info=st.binary(max_size=200))
def test_a_foreign_receiver_opens_what_the_schedule_seals(
    number: int, plaintext: bytes, info: bytes
) -> None:
    """Run as a sender (agreement is symmetric), the schedule is understood elsewhere too."""
    ephemeral = bytes(range(100, 132))
    backend, sender = _recipient(number, ephemeral)
    public = native.public_key(number, PRIVATE)
    shared_secret = SUITES[number].shared_secret(
        backend.dh("key", public), sender.public_key, public
    )
    _, _, key, nonce = SUITES[number].key_schedule(shared_secret, info)
    sealed = sender.public_key + AESGCM(key).encrypt(nonce, plaintext, None)
    private: X25519PrivateKey | ec.EllipticCurvePrivateKey
    if number == 1:
        private = X25519PrivateKey.from_private_bytes(PRIVATE)
    else:
        private = ec.derive_private_key(int.from_bytes(PRIVATE, "big"), SECP256R1())
    assert ORACLES[number].decrypt(sealed, private, info) == plaintext


@pytest.mark.parametrize("number", [1, 2])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_refused(number: int, data: st.DataObject) -> None:
    """No bit of the encapsulated key, the ciphertext, the tag or the info is free."""
    sealed, info = bytearray(_oracle_seal(number, bytes(range(64)), b"context")), b"context"
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(OpenError):
        _open(number, PRIVATE, bytes(sealed), info)


@pytest.mark.parametrize("number", [1, 2])
def test_every_length_but_the_right_one_is_refused(number: int) -> None:
    """Cut anywhere, or with a byte too many, a sealed text does not open and raises one error."""
    sealed = _oracle_seal(number, b"0123456789", b"")
    for cut in range(len(sealed)):
        with pytest.raises(OpenError):
            _open(number, PRIVATE, sealed[:cut], b"")
    with pytest.raises(OpenError):
        _open(number, PRIVATE, sealed + b"\x00", b"")


def test_a_buffer_of_another_length_is_refused() -> None:
    """The plaintext length is the caller's expectation, not the sender's choice."""
    backend, recipient = _recipient(1, PRIVATE)
    sealed = _oracle_seal(1, bytes(256), b"")
    for length in (0, 255, 257):
        with pytest.raises(OpenError):
            open_into(
                bytearray(length), backend=backend, recipient=recipient, sealed=sealed, info=b""
            )


def _bad_points() -> dict[str, tuple[int, bytes]]:
    good = native.public_key(2, bytes(range(100, 132)))
    point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), good)
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    return {
        "x25519 zero": (1, bytes(32)),
        "x25519 one": (1, b"\x01" + bytes(31)),
        "x25519 order eight": (
            1,
            bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        ),
        "x25519 p - 1": (1, b"\xec" + b"\xff" * 30 + b"\x7f"),
        "p256 off the curve": (2, good[:-1] + bytes((good[-1] ^ 1,))),
        "p256 zero": (2, bytes(65)),
        "p256 origin": (2, b"\x04" + bytes(64)),
        "p256 coordinate over the prime": (2, b"\x04" + prime.to_bytes(32, "big") + good[33:]),
        "p256 hybrid form": (2, bytes((6 + (good[-1] & 1),)) + good[1:]),
        "p256 compressed": (
            2,
            point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
        ),
        "p256 compressed, padded": (
            2,
            point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint).ljust(65, b"\x00"),
        ),
    }


@pytest.mark.parametrize(("number", "enc"), _bad_points().values(), ids=_bad_points().keys())
def test_bad_points_are_refused_by_the_one_error(number: int, enc: bytes) -> None:
    """Low-order, off-curve and oddly written points raise what a wrong tag raises, no more."""
    with pytest.raises(OpenError) as caught:
        _open(number, PRIVATE, enc + bytes(80), b"")
    assert caught.value.args == ()
    assert caught.value.__cause__ is None


def test_a_text_sealed_under_one_suite_does_not_open_under_the_other() -> None:
    """The suite comes from the key: a P-256 text at an X25519 key is just a wrong text."""
    with pytest.raises(OpenError):
        _open(1, PRIVATE, _oracle_seal(2, bytes(64), b""), b"")
    with pytest.raises(OpenError):
        _open(2, PRIVATE, _oracle_seal(1, bytes(64), b""), b"")
