"""Secrets are not seen, not copied, not serialized, and compare in constant time."""

from __future__ import annotations

import copy
import io
import json
import pickle
from collections.abc import Callable

import msgspec
import pytest

from chassis.secrets import Cvc, Key, Pan, Secret, masked_pan

NUMBER = "4242424242424242"
SECRETS = [Pan(NUMBER), Cvc("987"), Key(b"\x01material\xff"), Secret("a password")]
CLEAR = [NUMBER, "987", "material", "a password"]
identify = pytest.mark.parametrize(
    ("secret", "clear"), list(zip(SECRETS, CLEAR, strict=True)), ids=lambda v: type(v).__name__
)


@identify
def test_no_rendering_shows_the_value(secret: Secret[str], clear: str) -> None:
    """Every way Python turns an object into text gives the mask."""
    printed = io.StringIO()
    print(secret, [secret], {"card": secret}, file=printed)
    renderings = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", f"{secret:.20}"]
    renderings += ["%s %r" % (secret, secret), printed.getvalue()]  # noqa: UP031
    assert [text for text in renderings if clear in text] == []


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
@pytest.mark.parametrize("secret", SECRETS, ids=lambda v: type(v).__name__)
def test_serializers_are_refused(
    secret: Secret[str], serialize: Callable[[object], object]
) -> None:
    """Pickle, copies, JSON, msgpack and hashes all raise instead of writing the value."""
    with pytest.raises(TypeError) as refused:
        serialize(secret)
    assert all(clear not in str(refused.value) for clear in CLEAR)


def test_reveal_gives_the_value_back() -> None:
    """The one way in the clear returns what was put in."""
    assert [secret.reveal() for secret in SECRETS] == [
        NUMBER,
        "987",
        b"\x01material\xff",
        "a password",
    ]


def test_equality_needs_the_same_type_and_value() -> None:
    """Equal secrets are equal; another value, another type or the clear text is not."""
    assert Pan(NUMBER) == Pan(NUMBER)
    assert Pan(NUMBER) != Pan("5555555555554444")
    assert Pan(NUMBER) != Secret(NUMBER)
    assert Pan(NUMBER) != NUMBER
    assert Key(b"a") != Key(b"b")


@pytest.mark.parametrize("digits", ["4" * 12, "4" * 19])
def test_card_numbers_at_the_length_limits(digits: str) -> None:
    """Twelve and nineteen digits are card numbers."""
    assert Pan(digits).reveal() == digits


@pytest.mark.parametrize(
    "digits",
    ["", "4" * 11, "4" * 20, "4242 4242 4242", "\uff14" * 16, "424242424242424\xb2", "x" * 16],
)
def test_what_is_no_card_number_is_refused_unquoted(digits: str) -> None:
    """A bad number raises, and the error does not repeat it."""
    with pytest.raises(ValueError, match="12 to 19 digits") as refused:
        Pan(digits)
    assert digits == "" or digits not in str(refused.value)


@pytest.mark.parametrize("digits", ["", "12", "12345", "12a", "\uff11\uff12\uff13"])
def test_what_is_no_verification_code_is_refused(digits: str) -> None:
    """Only three or four ASCII digits are a verification code."""
    with pytest.raises(ValueError, match="3 or 4 digits"):
        Cvc(digits)


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
