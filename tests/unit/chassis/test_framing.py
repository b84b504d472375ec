from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.framing import FrameError, FramePhase, FrameTimer, LengthFramer

FRAMES = [b"a", b"", b"b" * 300, b"c" * 4096, b"d"]


def _feed_in_steps(framer: LengthFramer, data: bytes, step: int) -> list[bytes]:
    cut: list[bytes] = []
    for offset in range(0, len(data), step):
        cut += framer.feed(data[offset : offset + step])
    return cut


@pytest.mark.parametrize("header_bytes", [2, 4])
@pytest.mark.parametrize("step", [1, 2, 3, 7, 299, 4097, 100_000])
def test_frames_survive_any_cutting(header_bytes: int, step: int) -> None:
    """One byte at a time, in pieces or merged into one read: the same frames come out."""
    framer = LengthFramer(header_bytes, 4096)  # type: ignore[arg-type]
    assert _feed_in_steps(framer, framer.wrap_many(FRAMES), step) == FRAMES
    assert framer.frames_total == len(FRAMES)
    assert framer.phase is FramePhase.NOTHING
    framer.close()


@given(
    frames=st.lists(st.binary(max_size=40), max_size=8),
    cuts=st.lists(st.integers(min_value=0, max_value=300), max_size=8),
)
def test_random_frames_cut_at_random_places(frames: list[bytes], cuts: list[int]) -> None:
    """What is wrapped comes out unchanged wherever the stream is cut."""
    framer = LengthFramer(2, 40)
    data = framer.wrap_many(frames)
    bounds = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    cut = [
        frame
        for start, stop in itertools.pairwise(bounds)
        for frame in framer.feed(data[start:stop])
    ]
    assert cut == frames


def test_the_length_is_big_endian_and_counts_the_frame_alone() -> None:
    """The bytes on the wire are the ones of the framing catalog."""
    assert LengthFramer(2, 4096).wrap(b"x" * 258)[:3] == b"\x01\x02x"
    assert LengthFramer(4, 4096).wrap(b"x" * 258)[:5] == b"\x00\x00\x01\x02x"


@pytest.mark.parametrize("step", [1, 2, 100])
def test_a_length_over_the_bound_breaks_the_stream(step: int) -> None:
    """An oversized length is refused before its bytes arrive, and the framer stays broken."""
    framer = LengthFramer(2, 4096)
    with pytest.raises(FrameError, match=r"frame 1: length 65535 is outside 0\.\.4096"):
        _feed_in_steps(framer, b"\xff\xff" + b"x" * 10, step)
    with pytest.raises(FrameError, match="65535"):
        framer.feed(framer.wrap(b"good"))


def test_a_length_under_the_bound_breaks_the_stream() -> None:
    """Where an empty frame means nothing it is a fault."""
    framer = LengthFramer(4, 4096, frame_bytes_min=1)
    with pytest.raises(FrameError, match="length 0 is outside"):
        framer.feed(b"\x00\x00\x00\x00")


def test_a_length_in_ascii_digits_is_recognized() -> None:
    """A peer set up for another framing is told from one that sends noise."""
    with pytest.raises(FrameError, match=r"length 12337 is outside 0\.\.4096, and spells ASCII"):
        LengthFramer(2, 4096).feed(b"0141" + bytes(141))
    with pytest.raises(FrameError, match=r"outside 0\.\.4096$"):
        LengthFramer(2, 4096).feed(b"\xff\xff")


def test_whole_frames_ahead_of_a_fault_are_still_delivered() -> None:
    """Answers that arrived before the stream broke are not thrown away."""
    framer = LengthFramer(2, 10)
    assert framer.feed(b"\x00\x02ok\xff\xff") == [b"ok"]
    assert framer.broken is not None
    with pytest.raises(FrameError, match="frame 2"):
        framer.feed(b"")


@pytest.mark.parametrize("sent", [b"\x00", b"\x00\x05", b"\x00\x05abcd"])
def test_a_stream_that_ends_inside_a_frame_is_a_fault(sent: bytes) -> None:
    """A truncated frame is told from a clean end."""
    framer = LengthFramer(2, 10)
    assert framer.feed(sent) == []
    with pytest.raises(FrameError, match="ended after"):
        framer.close()


def test_errors_never_show_the_data() -> None:
    """Frames hold card data; errors about them do not."""
    framer = LengthFramer(2, 10)
    with pytest.raises(FrameError) as caught:
        framer.feed(b"\x34\x35" + b"4242424242424242")
    assert "4242" not in str(caught.value)


@pytest.mark.parametrize("frame", [b"", b"x" * 11])
def test_a_frame_out_of_bounds_is_not_wrapped(frame: bytes) -> None:
    """We never send what a peer with our limits would refuse."""
    with pytest.raises(FrameError, match=r"outside 1\.\.10"):
        LengthFramer(2, 10, frame_bytes_min=1).wrap(frame)


@pytest.mark.parametrize(("shortest", "longest"), [(0, 65_536), (5, 4), (-1, 4)])
def test_bounds_that_do_not_fit_are_refused(shortest: int, longest: int) -> None:
    """Bounds the length cannot express are a mistake in the settings."""
    with pytest.raises(ValueError, match="do not fit"):
        LengthFramer(2, longest, frame_bytes_min=shortest)


def _timer() -> tuple[LengthFramer, FrameTimer]:
    framer = LengthFramer(2, 10)
    return framer, FrameTimer(framer, header_timeout_s=5.0, body_timeout_s=7.0)


def test_a_header_that_does_not_finish_is_overdue() -> None:
    """One byte of a length and then silence is noticed after the header deadline."""
    framer, timer = _timer()
    framer.feed(b"\x00")
    timer.observe(100.0)
    assert timer.overdue(105.0) is FramePhase.NOTHING
    assert timer.overdue(105.1) is FramePhase.HEADER


def test_a_body_that_trickles_is_overdue_counted_from_its_header() -> None:
    """A byte now and then does not extend the deadline of the same frame."""
    framer, timer = _timer()
    framer.feed(b"\x00")
    timer.observe(100.0)
    framer.feed(b"\x05")
    timer.observe(104.0)
    for second in range(4):
        framer.feed(b"x")
        timer.observe(105.0 + second)
    assert timer.overdue(111.0) is FramePhase.NOTHING
    assert timer.overdue(111.1) is FramePhase.BODY


def test_each_frame_has_its_own_deadline() -> None:
    """A peer that finishes frames is never overdue, however its frames are cut."""
    framer, timer = _timer()
    for second in range(100):
        assert framer.feed(b"\x00\x01" if second == 0 else b"x\x00\x01") == [b"x"] * (second > 0)
        timer.observe(float(second))
        assert timer.overdue(second + 6.9) is FramePhase.NOTHING


def test_an_idle_stream_is_never_overdue() -> None:
    """Between frames there is no deadline."""
    framer, timer = _timer()
    framer.feed(b"\x00\x01x")
    timer.observe(1.0)
    assert timer.overdue(1e9) is FramePhase.NOTHING
