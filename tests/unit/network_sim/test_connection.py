"""One connection over streams in memory, its time limits by a clock that jumps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair

from chassis.framing import LengthFramer
from chassis.settings.tree import Network, Simulator
from network_sim.acceptor import Acceptor, FrameCounters
from network_sim.connection import WATCH_INTERVAL_S, Connection
from network_sim.delays import DelayedAnswers
from network_sim.journal import Journal, JournalError
from network_sim.service import make_issuer
from switch.iso8583 import Dialect
from tests.support.network import management, sale
from tests.support.network_host import OPENS_ON

NETWORK = Network(frame_header_timeout_s=5.0, frame_body_timeout_s=7.0)
LIMITS = Simulator(idle_timeout_s=100.0, write_timeout_s=10.0)
NOW_US = 1_795_331_402_000_000
LATE_PAN = "4000000000008807"

MakeConnection = Callable[[trio.abc.Stream], Connection]


class Ends:
    """How the connection under test ended, and when."""

    reason = ""
    at = 0.0

    async def run(self, connection: Connection) -> None:
        """Serve, then note the end."""
        self.reason = await connection.run()
        self.at = trio.current_time()


@pytest.fixture
def ends() -> Ends:
    """Nothing has ended yet."""
    return Ends()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty record."""
    journal = Journal(tmp_path / "vsim.log")
    yield journal
    journal.close()


@pytest.fixture
def delayed() -> DelayedAnswers:
    """Answers that wait."""
    return DelayedAnswers(10)


@pytest.fixture
def make_connection(dialect: Dialect, journal: Journal, delayed: DelayedAnswers) -> MakeConnection:
    """Makes a connection on a stream."""

    def make(stream: trio.abc.Stream) -> Connection:
        framer = LengthFramer(2, 4_096)
        acceptor = Acceptor(
            codec=dialect,
            dialect=dialect,
            issuer=make_issuer(Network(bins=("4",)), Simulator(), dialect, opens_on=OPENS_ON),
            framer=framer,
            counters=FrameCounters(),
            keep_alives_max=3,
        )
        return Connection(
            stream,
            acceptor=acceptor,
            framer=framer,
            journal=journal,
            delayed=delayed,
            wake_timer=lambda: None,
            network=NETWORK,
            limits=LIMITS,
            now_us=lambda: NOW_US,
        )

    return make


def _frames(dialect: Dialect, *messages: dict[int, str]) -> bytes:
    return LengthFramer(2, 4_096).wrap_many(dialect.encode(fields) for fields in messages)


async def _answers(
    dialect: Dialect, stream: trio.abc.ReceiveStream, count: int
) -> list[dict[int, str]]:
    framer, answers = LengthFramer(2, 4_096), []
    while len(answers) < count:
        data = await stream.receive_some()
        assert data, "the connection ended before the answers came"
        answers += [dialect.decode(frame) for frame in framer.feed(bytes(data))]
    return answers


async def test_requests_are_answered_until_the_peer_leaves(
    dialect: Dialect, make_connection: MakeConnection, ends: Ends
) -> None:
    """Sign-on, a sale, and a clean end."""
    near, far = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.run, make_connection(far))
        await near.send_all(_frames(dialect, management("001"), sale()))
        answers = await _answers(dialect, near, 2)
        await near.aclose()
    assert [answer[0] for answer in answers] == ["0810", "0210"]
    assert ends.reason == "the acquirer left"


async def test_what_is_answered_was_recorded_first(
    dialect: Dialect, make_connection: MakeConnection, journal: Journal
) -> None:
    """When the record fails nothing is answered, and the error is raised."""
    near, far = memory_stream_pair()
    await near.send_all(_frames(dialect, management("001"), sale()))
    journal.close()
    with pytest.raises(ExceptionGroup) as raised:
        await make_connection(far).run()
    assert raised.group_contains(JournalError, match="Bad file descriptor")
    assert await near.receive_some() == b""


async def test_a_delayed_answer_goes_out_when_it_is_due(
    dialect: Dialect, make_connection: MakeConnection, delayed: DelayedAnswers, ends: Ends
) -> None:
    """It waits in the process's heap and takes the connection's own way out."""
    near, far = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.run, make_connection(far))
        await near.send_all(_frames(dialect, management("001"), sale({2: LATE_PAN})))
        assert (await _answers(dialect, near, 1))[0][0] == "0810"
        assert delayed.next_due_at == pytest.approx(trio.current_time() + 2.75, abs=0.2)
        delayed.send_due(delayed.next_due_at)
        assert (await _answers(dialect, near, 1))[0][39] == "00"
        await near.aclose()


async def test_an_answer_due_after_the_end_is_dropped(
    dialect: Dialect, make_connection: MakeConnection, delayed: DelayedAnswers, ends: Ends
) -> None:
    """The acquirer has gone; nothing breaks."""
    near, far = memory_stream_pair()
    await near.send_all(_frames(dialect, management("001"), sale({2: LATE_PAN})))
    await near.send_eof()
    await ends.run(make_connection(far))
    delayed.send_due(delayed.next_due_at)
    assert len(delayed) == 0


@pytest.mark.parametrize(
    ("start", "reason", "after_s"),
    [
        (b"\x00", "the header of a frame did not arrive in time", 5.0),
        (b"\x00\x40\x02", "the body of a frame did not arrive in time", 7.0),
        (b"", "nothing heard for too long", 100.0),
    ],
)
async def test_a_peer_that_does_not_go_on_is_closed(
    make_connection: MakeConnection,
    autojump_clock: MockClock,
    ends: Ends,
    start: bytes,
    reason: str,
    after_s: float,
) -> None:
    """A started header, a started body, and silence each have their limit."""
    near, far = memory_stream_pair()
    began_at = trio.current_time()
    if start:
        await near.send_all(start)
    await ends.run(make_connection(far))
    assert ends.reason == reason
    assert after_s <= ends.at - began_at <= after_s + 2 * WATCH_INTERVAL_S
    assert await near.receive_some() == b""


async def test_trickling_bytes_do_not_extend_a_frames_limit(
    make_connection: MakeConnection, autojump_clock: MockClock, ends: Ends
) -> None:
    """One byte each second: the body's limit runs from its beginning."""
    near, far = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.run, make_connection(far))
        await near.send_all(b"\x00\x40")
        while not ends.reason:
            await near.send_all(b"\x02")
            await trio.sleep(1)
    assert ends.reason == "the body of a frame did not arrive in time"


async def test_a_message_in_time_keeps_a_quiet_peer(
    dialect: Dialect, make_connection: MakeConnection, autojump_clock: MockClock, ends: Ends
) -> None:
    """The twin of the refusals above: an echo every 90 seconds."""
    near, far = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.run, make_connection(far))
        for _ in range(5):
            await near.send_all(_frames(dialect, management("301")))
            assert (await _answers(dialect, near, 1))[0][39] == "00"
            await trio.sleep(90)
        assert ends.reason == ""
        await near.aclose()


async def test_a_peer_that_does_not_read_is_closed(
    dialect: Dialect, make_connection: MakeConnection, autojump_clock: MockClock, ends: Ends
) -> None:
    """A write that does not end has a limit; the stream here holds nothing for the reader."""
    near, far = lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.run, make_connection(far))
        await near.send_all(_frames(dialect, management("301")))
    assert ends.reason == "the peer does not read: write overdue"


async def test_a_peer_that_does_not_read_is_not_listened_to(
    dialect: Dialect,
    make_connection: MakeConnection,
    journal: Journal,
    autojump_clock: MockClock,
    ends: Ends,
) -> None:
    """Its second request is not taken before the first one's answer was; memory stays bounded."""
    near, far = lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.run, make_connection(far))
        await near.send_all(_frames(dialect, management("001"), sale()))
        with pytest.raises(trio.BrokenResourceError):
            await near.send_all(_frames(dialect, sale({11: "000124"})))
    assert [entry.stan for entry in journal.entries()] == ["000123"]
    assert ends.reason == "the peer does not read: write overdue"


async def test_a_broken_protocol_closes_after_what_was_answered(
    dialect: Dialect, make_connection: MakeConnection, ends: Ends
) -> None:
    """The answers ahead of the fault still leave."""
    near, far = memory_stream_pair()
    await near.send_all(_frames(dialect, management("301"), sale()))
    await ends.run(make_connection(far))
    assert (await _answers(dialect, near, 1))[0][0] == "0810"
    assert await near.receive_some() == b""
    assert ends.reason == "message 0200 while connected"


async def test_a_finished_connection_says_what_it_has_to_say(
    dialect: Dialect, make_connection: MakeConnection, ends: Ends
) -> None:
    """Stopping the network lets queued answers leave, then closes."""
    near, far = lockstep_stream_pair()
    connection = make_connection(far)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.run, connection)
        await near.send_all(_frames(dialect, management("301")))
        await trio.testing.wait_all_tasks_blocked()
        connection.finish("the network stops")
        assert (await _answers(dialect, near, 1))[0][0] == "0810"
        assert await near.receive_some() == b""
    assert ends.reason == "the network stops"
