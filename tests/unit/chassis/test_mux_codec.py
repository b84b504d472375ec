from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from chassis.mux.codec import BatchDecoder, MessageEncoder, frame_of
from chassis.mux.errors import MuxMessageTooLargeError, MuxProtocolError
from chassis.settings.tree import MuxLimits


class Ask(Struct, array_like=True, frozen=True, tag="ask"):
    """A request for the tests."""

    text: str


class Stop(Struct, array_like=True, frozen=True, tag="stop"):
    """Another one, so that the union is one."""

    code: int


LIMITS = MuxLimits(frame_bytes_max=1_000, messages_per_frame_max=20)


def _decoder(limits: MuxLimits = LIMITS) -> BatchDecoder[Ask | Stop]:
    return BatchDecoder(Ask | Stop, limits)


def _frame(*messages: tuple[int, Ask | Stop]) -> bytes:
    encoder = MessageEncoder(LIMITS)
    return frame_of([encoder.encode(request_id, body) for request_id, body in messages])


def _framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def test_a_frame_is_what_one_msgpack_call_would_write() -> None:
    """A frame is a 4-byte length and the msgpack array of all pairs."""
    batch = [(1, Ask("a")), (70_000, Stop(2))]
    assert _frame(*batch) == _framed(msgspec.msgpack.encode(batch))


@pytest.mark.parametrize("count", [1, 15, 16, 65_535, 65_536])
def test_every_array_header_is_canonical(count: int) -> None:
    """All three sizes of msgpack's array header are right at their edges."""
    message = msgspec.msgpack.encode((1, 2))
    assert frame_of([message] * count) == _framed(msgspec.msgpack.encode([(1, 2)] * count))


@pytest.mark.parametrize("step", [1, 2, 5, 1_000])
def test_batches_survive_any_cutting(step: int) -> None:
    """Fed one byte at a time or merged, the same messages come out in order."""
    messages = [(number, Ask("x" * number)) for number in range(1, 15)]
    data = _frame(*messages[:5]) + _frame(*messages[5:6]) + _frame(*messages[6:])
    decoder = _decoder()
    received = [
        message
        for offset in range(0, len(data), step)
        for message in decoder.feed(data[offset : offset + step])
    ]
    assert received == messages
    decoder.close()


@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), st.text(max_size=30)), max_size=20))
def test_any_batch_comes_back(pairs: list[tuple[int, str]]) -> None:
    """What one end encodes the other decodes."""
    messages: list[tuple[int, Ask | Stop]] = [(number, Ask(text)) for number, text in pairs]
    limits = MuxLimits()
    encoder = MessageEncoder(limits)
    data = frame_of([encoder.encode(number, body) for number, body in messages])
    assert _decoder(limits).feed(data) == messages


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\xc1", id="not msgpack"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="four thousand million messages announced"),
        pytest.param(b"\x91", id="truncated array"),
        pytest.param(b"\x90trailing", id="trailing bytes"),
        pytest.param(msgspec.msgpack.encode({"id": 1}), id="not an array"),
        pytest.param(msgspec.msgpack.encode([1, ["ask", "a"]]), id="not an array of pairs"),
        pytest.param(msgspec.msgpack.encode([(1, ["other", "a"])]), id="unknown tag"),
        pytest.param(msgspec.msgpack.encode([(1, ["ask", 5])]), id="wrong type"),
        pytest.param(msgspec.msgpack.encode([("1", ["ask", "a"])]), id="id is text"),
        pytest.param(msgspec.msgpack.encode([(1, ["ask"])]), id="missing field"),
        pytest.param(msgspec.msgpack.encode([(1, ["ask", "a"], 3)]), id="triple"),
    ],
)
def test_a_malformed_batch_is_a_protocol_error(payload: bytes) -> None:
    """Garbage of every kind gives the one typed error, naming the frame."""
    decoder = _decoder()
    decoder.feed(_frame((1, Ask("good"))))
    with pytest.raises(MuxProtocolError, match=f"frame 2 of {len(payload)} bytes: not a batch"):
        decoder.feed(_framed(payload))


def test_protocol_errors_never_show_values() -> None:
    """Messages may hold card data; errors about them do not."""
    decoder = _decoder()
    payload = msgspec.msgpack.encode([(1, ["4242424242424242", "a"])])
    with pytest.raises(MuxProtocolError) as caught:
        decoder.feed(_framed(payload))
    assert "4242" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_too_many_messages_in_a_frame_are_refused() -> None:
    """A frame longer than agreed is a fault even where every message is good."""
    decoder = _decoder()
    with pytest.raises(MuxProtocolError, match="21 messages, more than 20"):
        decoder.feed(_frame(*[(number, Stop(number)) for number in range(21)]))


@pytest.mark.parametrize("length", [0, 1_001, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused(length: int) -> None:
    """The length is judged before the frame arrives."""
    with pytest.raises(MuxProtocolError, match=f"length {length} is outside"):
        _decoder().feed(length.to_bytes(4, "big"))


def test_a_stream_that_ends_inside_a_frame_is_a_protocol_error() -> None:
    """A cut frame is told from a clean end."""
    decoder = _decoder()
    assert decoder.feed(_frame((1, Ask("a")))[:-1]) == []
    with pytest.raises(MuxProtocolError, match="ended after"):
        decoder.close()


def test_a_message_larger_than_a_frame_is_not_encoded() -> None:
    """Our own message that no frame can carry is refused at once, unseen."""
    with pytest.raises(MuxMessageTooLargeError, match="Ask of") as caught:
        MessageEncoder(LIMITS).encode(1, Ask("secret" * 200))
    assert "secret" not in str(caught.value)


def test_the_largest_message_fits_into_a_frame() -> None:
    """The bound of a message leaves room for the array header."""
    encoder = MessageEncoder(LIMITS)
    body = Ask("x" * (1_000 - 5 - len(encoder.encode(1, Ask("y" * 900))) + 900))
    message = encoder.encode(1, body)
    assert len(message) == 995
    assert _decoder().feed(frame_of([message])) == [(1, body)]
