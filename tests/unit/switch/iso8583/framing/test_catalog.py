"""Every framing of the catalog: its bytes, any cutting of the stream, and its bad twins."""

from __future__ import annotations

from importlib import resources

import pytest

from chassis.framing import FrameError, FramePhase, Framer, FrameTimer, LengthFramer
from switch.dialects import DialectError, Framing, parse_dialect, read_dialect
from switch.dialects.framings import LENGTH_MAX
from switch.iso8583.framing import CatalogFramer, Enveloped, framer_for
from tests.support.framings import EXAMPLES, framing

MESSAGE = bytes.fromhex("0800ab")
NET87B_TEXT = (resources.files("switch.dialects") / "net87b.toml").read_text(encoding="utf-8")
each_framing = pytest.mark.parametrize("name", EXAMPLES)


def _framing(name: str) -> Framing:
    return EXAMPLES[name][0]


def _feed(framer: Framer, data: bytes, step: int) -> list[bytes]:
    cut: list[bytes] = []
    for offset in range(0, len(data), step):
        cut += framer.feed(data[offset : offset + step])
    return cut


@each_framing
def test_the_bytes_are_those_of_the_catalog(name: str) -> None:
    """A message of three bytes, wrapped by hand."""
    form, expected = EXAMPLES[name]
    framer = framer_for(form, 2_000)
    assert framer.wrap(MESSAGE) == bytes.fromhex(expected)
    assert framer.feed(bytes.fromhex(expected)) == [MESSAGE]


@each_framing
@pytest.mark.parametrize("step", [1, 2, 3, 7, 299, 100_000])
def test_frames_survive_any_cutting(name: str, step: int) -> None:
    """One byte at a time, in pieces or merged into one read: the same frames come out."""
    frames = [b"a", b"", b"b" * 300, b"c" * 2_000, b"\x03", b"d"]
    framer = framer_for(_framing(name), 2_000)
    data = framer.wrap_many(frames)
    assert _feed(framer, data, step) == frames
    assert framer.frames_total == len(frames)
    assert framer.phase is FramePhase.NOTHING
    framer.close()


@each_framing
def test_a_message_over_the_bound_is_neither_wrapped_nor_taken(name: str) -> None:
    """The length is refused before its bytes arrive, and the framer stays broken."""
    roomy, narrow = framer_for(_framing(name), 2_000), framer_for(_framing(name), 100)
    assert narrow.feed(roomy.wrap(b"x" * 100)) == [b"x" * 100]
    with pytest.raises(FrameError, match=r"outside 0\.\.100"):
        narrow.wrap(b"x" * 101)
    data = roomy.wrap(b"x" * 200)
    with pytest.raises(FrameError, match="frame 2: length"):
        _feed(narrow, data[: len(data) - 150], 1)
    assert narrow.broken is not None
    with pytest.raises(FrameError):
        narrow.feed(roomy.wrap(b"x"))


@each_framing
def test_the_dialects_own_bound_holds_too(name: str) -> None:
    """The smaller of the settings' bound and the dialect's."""
    framer = framer_for(_framing(name), 1_000_000)
    with pytest.raises(FrameError, match=r"outside 0\.\.2000"):
        framer.wrap(b"x" * 2_001)


@each_framing
def test_nothing_is_a_sign_of_life_unless_it_is_refused(name: str) -> None:
    """A length of zero is an empty frame, and a fault where messages must not be empty."""
    form = _framing(name)
    nothing = framer_for(form, 2_000).wrap(b"")
    assert framer_for(form, 2_000).feed(nothing * 3) == [b"", b"", b""]
    with pytest.raises(FrameError, match="length"):
        framer_for(form, 2_000, frame_bytes_min=1).feed(nothing)
    with pytest.raises(FrameError, match=r"outside 1\.\."):
        framer_for(form, 2_000, frame_bytes_min=1).wrap(b"")


@each_framing
def test_whole_frames_ahead_of_a_fault_are_still_delivered(name: str) -> None:
    """Answers that arrived before the stream broke are not thrown away."""
    framer = framer_for(_framing(name), 2_000)
    data = framer.wrap(MESSAGE) + framer.wrap(MESSAGE) + b"\xff" * 60
    assert framer.feed(data) == [MESSAGE, MESSAGE]
    with pytest.raises(FrameError, match="frame 3"):
        framer.feed(b"")


@each_framing
def test_a_stream_that_ends_inside_a_frame_is_a_fault(name: str) -> None:
    """A truncated frame is told from a clean end, wherever it was cut."""
    data = framer_for(_framing(name), 2_000).wrap(MESSAGE)
    for length in range(1, len(data)):
        framer = framer_for(_framing(name), 2_000)
        assert framer.feed(data[:length]) == []
        with pytest.raises(FrameError, match=f"ended after {length} of"):
            framer.close()


@each_framing
def test_header_and_body_have_deadlines(name: str) -> None:
    """A length that does not finish, then a body that does not, are noticed."""
    framer = framer_for(_framing(name), 2_000)
    timer = FrameTimer(framer, header_timeout_s=5.0, body_timeout_s=7.0)
    data = framer.wrap(MESSAGE)
    framer.feed(data[:1])
    timer.observe(100.0)
    assert timer.overdue(105.1) is FramePhase.HEADER
    framer.feed(data[1:-1])
    timer.observe(105.0)
    assert timer.overdue(111.9) is FramePhase.NOTHING
    assert timer.overdue(112.1) is FramePhase.BODY


@each_framing
def test_errors_never_show_the_data(name: str) -> None:
    """Frames hold card data; errors about them do not."""
    for garbage in (b"4242424242424242" * 4, bytes.fromhex("4242424242424242") * 8):
        framer = framer_for(_framing(name), 2_000, frame_bytes_min=2)
        with pytest.raises(FrameError) as caught:
            framer.feed(garbage * 300)
        assert "4242 4242" not in str(caught.value)
        assert "424242" not in str(caught.value)


BAD = [
    # framing, what arrives as hex, words of the reason
    ("binary2", "ffff", "length 65535 is outside 0..2000"),
    ("binary2 tpdu", "0003 0800ab", "length 3 is outside 5..2005"),
    ("binary2 tpdu", "0008 6100030001 0800ab", "begins with 60"),
    ("binary2 tpdu", "0008 0800ab6000030001", "begins with 60"),
    ("bcd2", "000a", "not BCD"),
    ("bcd2", "a000", "not BCD"),
    ("bcd2", "9999", "length 9999 is outside 0..2000"),
    ("bcd2 tpdu", "0004", "length 4 is outside"),
    ("ascii4", "2b303033", "not four ASCII digits"),  # +003
    ("ascii4", "2d303033", "not four ASCII digits"),  # -003
    ("ascii4", "20202033", "not four ASCII digits"),
    ("ascii4", "305f3033", "not four ASCII digits"),  # 0_03
    ("ascii4", "30303045", "not four ASCII digits"),
    ("ascii4", "00000003", "not four ASCII digits"),
    ("ascii4", "f0f0f0f3", "not four ASCII digits"),  # EBCDIC
    ("ascii4", "39393939", "length 9999 is outside"),
    ("hex4", "30783033", "hex digits"),  # 0x03
    ("hex4", "2b303033", "hex digits"),
    ("hex4", "20303033", "hex digits"),
    ("hex4", "305f3033", "hex digits"),
    ("hex4", "30303047", "hex digits"),
    ("hex4", "46464646", "length 65535 is outside"),
    ("binary4", "80000003", "length 2147483651 is outside"),
    ("binary2_zeros", "00030001", "behind the length are not zero"),
    ("binary2_zeros", "00000003", "behind the length are not zero"),
    ("zeros_binary2", "00030000", "before the length are not zero"),
    ("zeros_binary2", "01000003", "before the length are not zero"),
    ("binary3", "010000", "length 65536 is outside"),
    ("binary2_inclusive", "0001", "length 1 is outside 2..2002"),
    ("binary2_inclusive", "0000", "length 0 is outside 2..2002"),
    ("binary2 etx", "0004 0800ab04", "last byte is not ETX"),
    ("binary2 etx", "0003 0800ab", "last byte is not ETX"),
    ("ascii4 etx", "30303031 41", "last byte is not ETX"),
    ("vmlh vip", "00190100", "no flags of a message"),
    ("vmlh vip", "00190001", "no flags of a message"),
    ("vmlh vip", "00190010", "no flags of a message"),
    ("vmlh vip", "08010000", "length 2049 is outside"),
    ("vmlh vip", "00150000", "length 21 is outside 22.."),
    ("vmlh vip", f"00190000 170102{'0019'}000001400001{'00' * 11} 0800ab", "16 or 1A"),
    ("vmlh vip", f"00190000 160102{'001a'}000001400001{'00' * 11} 0800ab", "total length"),
    ("vmlh vip", f"00190000 160102{'0019'}00000a400001{'00' * 11} 0800ab", "not BCD"),
]


@pytest.mark.parametrize(("name", "data", "words"), BAD, ids=[f"{n} {d:.30}" for n, d, _ in BAD])
@pytest.mark.parametrize("step", [1, 1_000])
def test_the_bad_twin_is_refused(name: str, data: str, words: str, step: int) -> None:
    """What is not of the form ends the stream, however it arrives, and says why."""
    framer = framer_for(_framing(name), 2_000)
    with pytest.raises(FrameError) as caught:
        _feed(framer, bytes.fromhex(data), step)
    assert str(caught.value).startswith("frame 1: ")
    assert words in str(caught.value)


def test_every_kind_of_length_has_an_example() -> None:
    """The catalog and the examples above name the same kinds."""
    assert {form.length for form, _ in EXAMPLES.values()} == set(LENGTH_MAX)


def test_two_digit_pairs_end_at_9999() -> None:
    """A length of four digits refuses a longer message instead of starting again at zero."""
    form = Framing(length="bcd2", frame_bytes_max=9_999)
    framer = framer_for(form, 1_000_000)
    assert framer.wrap(b"x" * 9_999)[:2] == b"\x99\x99"
    with pytest.raises(FrameError, match="a frame of 10000 bytes"):
        framer.wrap(b"x" * 10_000)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_bound_that_the_length_cannot_say_is_refused(name: str) -> None:
    """By the dialect file, and by the framer."""
    form = _framing(name)
    most = form.message_bytes_max
    with pytest.raises(ValueError, match="do not fit"):
        CatalogFramer(form, most + 1)
    text = _toml(form, most + 1)
    with pytest.raises(DialectError, match=f"framing.frame_bytes_max: outside 64 to {most},"):
        parse_dialect(text, "bad.toml")
    assert parse_dialect(_toml(form, most), "good.toml").framing.frame_bytes_max == most


def _toml(form: Framing, frame_bytes_max: int) -> str:
    keys = {
        "length": f'"{form.length}"',
        "frame_bytes_max": str(frame_bytes_max),
        "header": f'"{form.header}"',
        "trailer": f'"{form.trailer}"',
        "destination": f'"{form.destination}"',
        "source": f'"{form.source}"',
    }
    table = "[framing]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items())
    before, _, rest = NET87B_TEXT.partition("[framing]")
    return before + table + "\n\n[policy]" + rest.partition("[policy]")[2]


def test_the_plain_lengths_are_cut_by_the_fast_framer() -> None:
    """The framing of the bundled networks does not pay for the others."""
    assert type(framer_for(read_dialect("net87b").framing, 4_096)) is LengthFramer
    assert type(framer_for(framing("binary4"), 2_000)) is LengthFramer
    assert type(framer_for(framing("binary2", "tpdu"), 2_000)) is CatalogFramer


def test_both_framers_agree_on_plain_lengths() -> None:
    """The catalog's framer does what the fast one does, where both can."""
    for length in ("binary2", "binary4"):
        form = framing(length)
        slow, fast = CatalogFramer(form, 2_000), framer_for(form, 2_000)
        data = fast.wrap_many([b"a", b"", b"b" * 1_999])
        assert slow.wrap_many([b"a", b"", b"b" * 1_999]) == data
        assert slow.feed(data + b"\x00") == fast.feed(data + b"\x00") == [b"a", b"", b"b" * 1_999]
        assert slow.phase is fast.phase is FramePhase.HEADER


def test_a_session_control_message_is_a_sign_of_life() -> None:
    """A VMLH with the control flag carries no message, whatever follows it."""
    framer = framer_for(framing("vmlh", "vip"), 2_000)
    data = bytes.fromhex("0000002000030020aabbcc") + framer.wrap(MESSAGE)
    assert framer.feed(data) == [b"", b"", MESSAGE]


def test_an_envelope_comes_with_its_message() -> None:
    """Bytes of a message are the message alone; its header stands beside."""
    framer = framer_for(framing("binary2", "tpdu"), 2_000)
    [frame] = framer.feed(bytes.fromhex("0008 6000110022 0800ab"))
    assert isinstance(frame, Enveloped)
    assert (frame, frame.envelope.hex()) == (MESSAGE, "6000110022")
    assert type(frame[:2]) is bytes
