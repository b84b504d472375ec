"""Secrets are not seen, not copied, not serialized, and compare in constant time."""

from __future__ import annotations

import copy
import io
import json
import pickle
from collections.abc import Callable

import msgspec
import pytest

from chassis.secrets import Key, masked_pan

NUMBER = "4242424242424242"
CLEAR = "material"
SECRET = Key(CLEAR.encode())


class SigningKey(Key):
    """Another type of key."""


def test_no_rendering_shows_the_value() -> None:
    """Every way Python turns an object into text gives the mask."""
    printed = io.StringIO()
    print(SECRET, [SECRET], {"key": SECRET}, file=printed)
    renderings = [repr(SECRET), str(SECRET), f"{SECRET}", f"{SECRET!r:>40}", f"{SECRET:.20}"]
    renderings += ["%s %r" % (SECRET, SECRET), printed.getvalue()]  # noqa: UP031
    assert [text for text in renderings if CLEAR in text or "masked" not in text] == []


@pytest.mark.parametrize(
    "serialize",
    [
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        msgspec.json.encode,
        msgspec.msgpack.encode,
        vars,
        hash,
    ],
)
def test_serializers_are_refused(serialize: Callable[[object], object]) -> None:
    """Pickle, copies, JSON, msgpack and hashes all raise instead of writing the value."""
    with pytest.raises(TypeError) as refused:
        serialize(SECRET)
    assert CLEAR not in str(refused.value)


def test_reveal_gives_the_value_back() -> None:
    """The one way in the clear returns what was put in."""
    assert SECRET.reveal() == CLEAR.encode()


def test_equality_needs_the_same_type_and_value() -> None:
    """Equal secrets are equal; another value, another type or the clear bytes are not."""
    assert Key(b"a") == Key(b"a")
    assert Key(b"a") != Key(b"b")
    assert Key(b"a") != SigningKey(b"a")
    assert Key(b"a") != b"a"


def test_an_empty_key_is_refused() -> None:
    """No key at all is a mistake, not a key."""
    with pytest.raises(ValueError, match="at least one byte"):
        Key(b"")


@pytest.mark.parametrize(
    ("digits", "shown"),
    [
        (NUMBER, "424242******4242"),
        ("6304000000000000000", "630400*********0000"),
        ("378282246310005", "***********0005"),
        ("676770000005", "********0005"),
        ("42424242424", "***********"),
        ("", ""),
        ("4242 4242 4242 4242", "*******************"),
        ("4" * 20, "*" * 20),
    ],
)
def test_masked_pan(digits: str, shown: str) -> None:
    """At most six and four digits show; what is no card number is hidden whole."""
    assert masked_pan(digits) == shown
