"""The HMAC of two plain digests against the standard library's."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm_sim.hmac_sha256 import hmac_sha256


@given(st.binary(max_size=64), st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_agrees_with_the_standard_library(key: bytes, text: bytes) -> None:
    """Any key that fits a block gives the digest that `hmac` gives."""
    assert hmac_sha256(key, text) == hmac.digest(key, text, "sha256")


def test_the_first_case_of_rfc_4231() -> None:
    """The published digest, so that not both are wrong alike."""
    expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    assert hmac_sha256(b"\x0b" * 20, b"Hi There").hex() == expected


@pytest.mark.parametrize("length", [63, 64])
def test_a_key_may_fill_its_block(length: int) -> None:
    """The longest keys that are taken as they are."""
    key = bytes(range(length))
    assert hmac_sha256(key, b"text") == hmac.digest(key, b"text", "sha256")


def test_a_key_longer_than_a_block_is_refused() -> None:
    """RFC 2104 hashes such a key first; taking it as it is would give another code."""
    with pytest.raises(ValueError, match="64 bytes"):
        hmac_sha256(bytes(65), b"text")
