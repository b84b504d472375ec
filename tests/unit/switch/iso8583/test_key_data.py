"""Session keys on their way, in DE 60."""

from __future__ import annotations

import pytest

from switch.iso8583.key_data import KeyData, KeyDataError

DATA = KeyData("0000000000000007", "D0144M6AC00N0000" + "A" * 128, "08D7B4")


def test_a_key_travels_in_one_element() -> None:
    """Id, block, check value; reading gives back what was written."""
    assert DATA.elements() == {60: "0000000000000007" + DATA.key_block + "08D7B4"}
    assert KeyData.of(DATA.elements()) == DATA


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "does not begin with a key id"),
        ({60: "7"}, "does not begin with a key id"),
        ({60: "D0144M6AC00N0000" + "A" * 128}, "does not begin with a key id"),
        ({60: "0000000000000007"}, "holds no key"),
        ({60: "000000000000000708D7B4"}, "holds no key"),
    ],
)
def test_a_message_without_a_key_is_refused(fields: dict[int, str], reason: str) -> None:
    """What is missing is said, not what stood there."""
    with pytest.raises(KeyDataError, match=reason):
        KeyData.of(fields)


def test_a_key_is_not_printed() -> None:
    """Not even wrapped."""
    assert "D0144" not in repr(DATA)
