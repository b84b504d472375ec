"""Headers: addresses turned round in answers, and messages that the network sends back."""

from __future__ import annotations

import pytest

from chassis.framing import FrameError
from switch.iso8583 import DecodeError, load_dialect
from switch.iso8583.framing import Returned, framer_for
from tests.support.framings import framing

MESSAGE = bytes.fromhex("0800ab")
ANSWER = bytes.fromhex("0810abcd")


@pytest.mark.parametrize("length", ["binary2", "bcd2"])
def test_a_tpdu_is_turned_round_in_the_answer(length: str) -> None:
    """Each answer goes back to where its own question came from, in any order."""
    framer = framer_for(framing(length, "tpdu"), 2_000)
    questions = framer.feed(
        bytes.fromhex("0008 6000110022 0800ab0008 6000330044 0800ab"),
    )
    answers = [framer.wrap(ANSWER, question) for question in reversed(questions)]
    assert [answer.hex(" ", 1)[6:20] for answer in answers] == ["60 00 44 00 33", "60 00 22 00 11"]


def test_a_message_of_our_own_has_our_addresses() -> None:
    """A request answers nothing; the network's end has the same addresses the other way round."""
    form = framing("binary2", "tpdu")
    ours, theirs = framer_for(form, 2_000), framer_for(form, 2_000, network_side=True)
    assert ours.wrap(MESSAGE).hex() == "000860000300010800ab"
    assert theirs.wrap(MESSAGE).hex() == "000860000100030800ab"
    [question] = theirs.feed(ours.wrap(MESSAGE))
    [answer] = ours.feed(theirs.wrap(ANSWER, question))
    assert answer == ANSWER
    assert answer.envelope.hex() == "6000010003"  # type: ignore[attr-defined]


def test_a_frame_without_header_is_answered_with_our_own() -> None:
    """An answer to bytes that came from elsewhere is addressed like any message."""
    framer = framer_for(framing("binary2", "tpdu"), 2_000)
    assert framer.wrap(ANSWER, MESSAGE) == framer.wrap(ANSWER)


def test_a_vip_answer_keeps_what_it_was_asked_with() -> None:
    """Stations exchanged, length its own, control bytes as they came."""
    framer = framer_for(framing("vmlh", "vip"), 2_000)
    asked = "16010200191111112222227f0102030405060708090a"
    [question] = framer.feed(bytes.fromhex("00190000" + asked + "0800ab"))
    expected = "160102001a2222221111117f0102030405060708090a"
    assert framer.wrap(ANSWER, question).hex() == "001a0000" + expected + ANSWER.hex()


def _returned(code: str = "0512", bitmap: str = "8000") -> bytes:
    """What a network makes of the message `0800ab` when it cannot read it."""
    original = "1601020019000001400001" + "00" * 11 + "0800ab"
    total = 26 + len(original) // 2
    first = f"1a0102{total:04x}400001000001" + "00" * 11 + bitmap + code
    return bytes.fromhex(f"{total:04x}0000" + first + original)


def test_a_message_sent_back_is_told_from_an_answer() -> None:
    """It is handed on whole, with its reject code, and no codec takes it for a message."""
    framer = framer_for(framing("vmlh", "vip"), 2_000)
    [frame] = framer.feed(_returned())
    assert isinstance(frame, Returned)
    assert frame.reject_code == "0512"
    assert frame.endswith(MESSAGE)
    with pytest.raises(DecodeError):
        load_dialect("vip").decode(frame)


def test_the_longest_message_can_be_sent_back() -> None:
    """The header in front of it is longer than what the message needed."""
    framer = framer_for(framing("vmlh", "vip"), 2_000)
    body = b"\x1a\x01\x02" + (26 + 22 + 1_990).to_bytes(2, "big") + bytes(17)
    body += bytes.fromhex("80000512") + bytes(22 + 1_990)
    [frame] = framer.feed(len(body).to_bytes(2, "big") + bytes(2) + body)
    assert isinstance(frame, Returned)


@pytest.mark.parametrize(
    ("code", "bitmap"), [("051a", "8000"), ("0512", "0000")], ids=["code not BCD", "bit not set"]
)
def test_a_long_header_without_a_reject_code_is_refused(code: str, bitmap: str) -> None:
    """Nothing else is known to need 26 bytes."""
    framer = framer_for(framing("vmlh", "vip"), 2_000)
    with pytest.raises(FrameError, match="without a reject code"):
        framer.feed(_returned(code, bitmap))


def test_a_header_cannot_hide_a_message_over_the_bound() -> None:
    """The room that a returned message needs is not for others."""
    framer = framer_for(framing("vmlh", "vip"), 100)
    roomy = framer_for(framing("vmlh", "vip"), 2_000)
    with pytest.raises(FrameError, match="a message of 101 bytes is over 100"):
        framer.feed(roomy.wrap(b"x" * 101))
