"""Private data: tag, length, value."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.iso8583 import DecodeError, EncodeError, Reason, private

TAGS = st.dictionaries(
    st.text("0123456789ABCXYZabcxyz", min_size=2, max_size=2),
    st.text("".join(map(chr, range(0x20, 0x7F))), min_size=1, max_size=99),
    min_size=1,
)


def test_cvc2_travels_under_its_tag() -> None:
    """The worked example of the module."""
    assert private.encode({private.CVC2_TAG: "123"}) == "9203123"
    assert private.decode("9203123") == {"92": "123"}


@settings(derandomize=True, database=None, deadline=None)
@given(TAGS)
def test_round_trip(tags: dict[str, str]) -> None:
    """Any tags come back as they were, in their order."""
    assert list(private.decode(private.encode(tags)).items()) == list(tags.items())


@pytest.mark.parametrize(
    "tags",
    [{}, {"9": "123"}, {"921": "123"}, {"9-": "123"}, {"92": ""}, {"92": "x" * 100},
     {"92": "1\n3"}, {"92": "1é3"}, {"\uff19\uff12": "123"}],
)  # fmt: skip
def test_refuses_to_encode(tags: dict[str, str]) -> None:
    """A tag or value of another form is refused."""
    with pytest.raises(EncodeError) as caught:
        private.encode(tags)
    assert (caught.value.de, caught.value.reason) == (48, Reason.BAD_TAG)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("9", 0),
        ("920", 0),
        ("92 3123", 0),
        ("9-03123", 0),
        ("9203", 0),
        ("920312", 0),
        ("9200", 0),
        ("92031234", 7),
        ("92031239303", 7),
        ("92031239203123", 7),
        ("92031\n3", 0),
        ("92\u0660\u0663123", 0),
    ],
)
def test_refuses_to_decode(text: str, offset: int) -> None:
    """Cut, empty, repeated or malformed items are refused where they begin."""
    with pytest.raises(DecodeError) as caught:
        private.decode(text)
    error = caught.value
    assert (error.de, error.offset, error.reason) == (48, offset, Reason.BAD_TAG)
