"""Bytes in, bytes out: one connection without a socket."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from chassis.framing import FrameError, LengthFramer
from chassis.settings.tree import Network, Simulator
from network_sim.acceptor import Acceptor, Codec, FrameCounters, Reaction, answered_mtis
from network_sim.decisions import Moment
from network_sim.journal import Entry
from network_sim.service import make_issuer
from switch.iso8583 import Dialect
from switch.iso8583.reference import ReferenceCodec
from tests.support.network import management, reversal, sale
from tests.support.network_host import OPENS_ON

NOW = Moment.at(1_795_331_402_000_000)
SILENT, LATE, SLOW = "4000000000007809", "4000000000008807", "4000000000009805"

MakeAcceptor = Callable[..., Acceptor]


@pytest.fixture
def make_acceptor(dialect: Dialect) -> MakeAcceptor:
    """Makes the acceptor of a fresh connection."""

    def make(codec: Codec = dialect, *, frame_bytes_max: int = 4_096) -> Acceptor:
        return Acceptor(
            codec=codec,
            dialect=dialect,
            issuer=make_issuer(Network(bins=("4",)), Simulator(), dialect, opens_on=OPENS_ON),
            framer=LengthFramer(2, frame_bytes_max),
            counters=FrameCounters(),
            keep_alives_max=3,
        )

    return make


@pytest.fixture
def acceptor(make_acceptor: MakeAcceptor, dialect: Dialect) -> Acceptor:
    """One that is signed on."""
    acceptor = make_acceptor()
    acceptor.receive(_frames(dialect, management("001")), NOW)
    return acceptor


def _frames(dialect: Dialect, *messages: dict[int, str]) -> bytes:
    return LengthFramer(2, 4_096).wrap_many(dialect.encode(fields) for fields in messages)


def _answers(dialect: Dialect, reactions: Sequence[Reaction]) -> list[dict[int, str]]:
    output = b"".join(reaction.output for reaction in reactions)
    return [dialect.decode(frame) for frame in LengthFramer(2, 4_096).feed(output)]


def _conversation(dialect: Dialect) -> bytes:
    return _frames(
        dialect,
        management("001"),
        sale({11: "000201"}),
        sale({11: "000202", 2: "4000000000000002"}),
        management("301", stan="000203"),
        reversal(sale({11: "000201"}), {11: "000204"}),
        sale({11: "000201"}),
        sale({11: "000201", 4: "000000000001"}),
        sale({11: "000205", 43: None}),
        {**sale({11: "000206"}), 0: "0620"},
        management("999", stan="000207"),
    )


def test_a_sale_is_answered_and_recorded(acceptor: Acceptor, dialect: Dialect) -> None:
    """Sign-on has opened the session; the sale is approved in the same read's output."""
    reaction = acceptor.receive(_frames(dialect, sale()), NOW)
    [answer] = _answers(dialect, [reaction])
    assert (answer[0], answer[39]) == ("0210", "00")
    assert [Entry.parse(line[:-1]).stan for line in reaction.lines] == ["000123"]
    assert (reaction.fault, reaction.close) == ("", "")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1_000_000])
def test_answers_do_not_depend_on_how_bytes_arrive(
    make_acceptor: MakeAcceptor, dialect: Dialect, size: int
) -> None:
    """One byte at a time, frames cut anywhere, or all of them merged."""
    data = _conversation(dialect)
    whole = make_acceptor().receive(data, NOW)
    acceptor = make_acceptor()
    parts = [acceptor.receive(data[i : i + size], NOW) for i in range(0, len(data), size)]
    assert b"".join(part.output for part in parts) == whole.output
    assert [line for part in parts for line in part.lines] == whole.lines
    codes = [answer[39] for answer in _answers(dialect, parts)]
    assert codes == ["00", "00", "05", "00", "00", "00", "94", "30", "40", "40"]


def test_the_public_codec_gives_the_same_bytes(
    make_acceptor: MakeAcceptor, dialect: Dialect
) -> None:
    """A network on pyiso8583 alone cannot be told from one on the compiled codec."""
    data = _conversation(dialect)
    compiled = make_acceptor().receive(data, NOW)
    public = make_acceptor(ReferenceCodec(dialect)).receive(data, NOW)
    assert (public.output, public.lines) == (compiled.output, compiled.lines)
    assert public.output != b""


def test_answers_of_one_read_leave_together(acceptor: Acceptor, dialect: Dialect) -> None:
    """Two hundred merged requests make one chunk of two hundred answers."""
    data = _frames(dialect, *(sale({11: f"{stan:06d}"}) for stan in range(1, 201)))
    reaction = acceptor.receive(data, NOW)
    assert len(_answers(dialect, [reaction])) == len(reaction.lines) == 200


@pytest.mark.parametrize(("pan", "delay_ms"), [(SLOW, 1_000), (LATE, 2_750)])
def test_delayed_answers_wait_outside_the_output(
    acceptor: Acceptor, dialect: Dialect, pan: str, delay_ms: int
) -> None:
    """They are recorded now and framed for later."""
    reaction = acceptor.receive(_frames(dialect, sale({2: pan})), NOW)
    assert (reaction.output, len(reaction.lines)) == (b"", 1)
    [(delayed_ms, frame)] = reaction.delayed
    [answer] = [dialect.decode(frame) for frame in LengthFramer(2, 4_096).feed(frame)]
    assert (delayed_ms, answer[39]) == (delay_ms, "00")


def test_a_silent_card_is_recorded_and_not_answered(acceptor: Acceptor, dialect: Dialect) -> None:
    """The decision exists; its answer never leaves."""
    reaction = acceptor.receive(_frames(dialect, sale({2: SILENT})), NOW)
    assert (reaction.output, reaction.delayed, len(reaction.lines)) == (b"", [], 1)
    assert acceptor.counters.withheld_total == 1


@pytest.mark.parametrize("functions", [[], ["301"], ["001", "002"]])
def test_a_sale_outside_a_session_closes(
    make_acceptor: MakeAcceptor, dialect: Dialect, functions: list[str]
) -> None:
    """Before sign-on and after sign-off nothing is decided, and nothing behind it either."""
    acceptor = make_acceptor()
    acceptor.receive(_frames(dialect, *(management(each) for each in functions)), NOW)
    data = _frames(dialect, sale(), management("001"), sale({11: "000124"}))
    reaction = acceptor.receive(data, NOW)
    state = "signed_off" if "002" in functions else "connected"
    assert reaction.close == f"message 0200 while {state}"
    assert (reaction.output, reaction.lines) == (b"", [])


def test_an_undecodable_message_is_counted_and_the_rest_answered(
    acceptor: Acceptor, dialect: Dialect
) -> None:
    """The fault names place and reason; neighbors in the same read are unharmed."""
    good = dialect.encode(sale())
    pan_at = 10  # behind MTI and bitmap: the length of DE 2
    bad = good[:pan_at] + b"\x99" + good[pan_at + 1 :]
    data = LengthFramer(2, 4_096).wrap_many([bad, good])
    reaction = acceptor.receive(data, NOW)
    assert len(_answers(dialect, [reaction])) == 1
    assert reaction.fault.startswith("undecodable message: DE 2 at byte 10")
    assert "4242" not in reaction.fault
    assert (reaction.close, acceptor.counters.undecodable_total) == ("", 1)


def test_an_answer_nobody_asked_for_is_counted(acceptor: Acceptor, dialect: Dialect) -> None:
    """It is not answered, or two hosts would go on for ever."""
    reaction = acceptor.receive(_frames(dialect, {**sale(), 0: "0210", 39: "00"}), NOW)
    assert (reaction.output, reaction.lines, reaction.close) == (b"", [], "")
    assert reaction.fault == "message 0210 has no answer"
    assert acceptor.counters.unasked_total == 1


def test_keep_alives_are_not_echoed_and_a_storm_of_them_closes(
    acceptor: Acceptor, dialect: Dialect
) -> None:
    """A message in between starts the count again."""
    keep_alive = b"\x00\x00"
    calm = acceptor.receive(keep_alive * 3 + _frames(dialect, sale()) + keep_alive * 3, NOW)
    assert (len(_answers(dialect, [calm])), calm.close) == (1, "")
    storm = acceptor.receive(keep_alive, NOW)
    assert (storm.output, storm.close) == (b"", "more than 3 zero-length frames in a row")


@pytest.mark.parametrize("length", [b"\xff\xff", b"\x10\x01"])
def test_a_length_out_of_bounds_closes_after_what_came_whole(
    acceptor: Acceptor, dialect: Dialect, length: bytes
) -> None:
    """Messages ahead of the fault are answered; where the next one starts is never guessed."""
    reaction = acceptor.receive(_frames(dialect, sale()) + length + b"\x00" * 9, NOW)
    assert len(_answers(dialect, [reaction])) == 1
    assert "is outside 0..4096" in reaction.close
    assert "is outside 0..4096" in acceptor.receive(_frames(dialect, sale()), NOW).close


def test_the_longest_frame_is_taken(make_acceptor: MakeAcceptor, dialect: Dialect) -> None:
    """The twin of the refusal above: a frame of exactly the limit."""
    size = len(dialect.encode(sale()))
    acceptor = make_acceptor(frame_bytes_max=size)
    acceptor.receive(_frames(dialect, management("001")), NOW)
    assert acceptor.receive(_frames(dialect, sale()), NOW).close == ""


def test_an_answer_longer_than_a_frame_is_our_own_fault(
    make_acceptor: MakeAcceptor, dialect: Dialect
) -> None:
    """It is raised, and nothing of the read is answered."""
    sign_on = dialect.encode(management("001"))
    acceptor = make_acceptor(frame_bytes_max=len(sign_on))
    with pytest.raises(FrameError, match="a frame of"):
        acceptor.receive(_frames(dialect, management("001")), NOW)


def test_every_request_of_the_dialect_has_an_answer(dialect: Dialect) -> None:
    """And no answer has one."""
    answered = answered_mtis(dialect)
    assert {"0100", "0200", "0201", "0420", "0421", "0600", "0800"} <= answered
    assert not {"0110", "0210", "0430", "0810"} & answered
