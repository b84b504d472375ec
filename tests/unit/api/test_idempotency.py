"""Digests of keys and requests."""

from __future__ import annotations

from api.http.parser import Request
from api.idempotency import DIGEST_BYTES, key_digest, request_hash

SHOP, OTHER = bytes(16), bytes(15) + b"\1"


def hash_of(method: bytes, target: bytes, body: bytes) -> bytes:
    """The hash of a request."""
    return request_hash(Request(method, target, {}, body, keep_alive=True))


def test_a_key_is_told_apart_by_all_that_makes_it_unique() -> None:
    """Merchant, mode, credential class, intent and the key itself."""
    digests = [
        key_digest(SHOP, live=False, key=b"k"),
        key_digest(OTHER, live=False, key=b"k"),
        key_digest(SHOP, live=True, key=b"k"),
        key_digest(SHOP, live=False, intent_id=SHOP, key=b"k"),
        key_digest(SHOP, live=False, intent_id=OTHER, key=b"k"),
        key_digest(SHOP, live=False, key=b"l"),
    ]
    assert len(set(digests)) == len(digests)
    assert {len(digest) for digest in digests} == {DIGEST_BYTES}
    assert digests[0] == key_digest(SHOP, live=False, key=b"k")


def test_a_key_cannot_pass_for_an_intent_and_a_key() -> None:
    """The class tells whether the sixteen bytes behind it are an intent."""
    assert key_digest(SHOP, live=False, intent_id=OTHER, key=b"k") != key_digest(
        SHOP, live=False, key=OTHER + b"k"
    )


def test_a_request_is_method_target_and_body() -> None:
    """Whatever else differs, these make the request."""
    base = hash_of(b"POST", b"/a", b"{}")
    others = [
        hash_of(b"PUT", b"/a", b"{}"),
        hash_of(b"POST", b"/a?", b"{}"),
        hash_of(b"POST", b"/a", b"{ }"),
        hash_of(b"POST", b"/a", b""),
    ]
    assert base not in others
    assert len({base, *others}) == 5
    again = Request(b"POST", b"/a", {b"host": b"other"}, b"{}", keep_alive=False)
    assert base == request_hash(again)
