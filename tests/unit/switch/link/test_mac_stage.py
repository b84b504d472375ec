"""Batches to the HSM and back, in order, and what happens while it is away."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from chassis.mac import Cmac
from hsm_sim.wire import (
    HSMReply,
    HSMRequest,
    MacRefused,
    Macs,
    MacsAnswered,
    MacToVerify,
    MacVerified,
    Refused,
)
from switch.hsm import HSMUnavailableError
from switch.link import mac_stage
from switch.link.mac_stage import Incoming, MacStage, Outgoing

Clock = trio.testing.MockClock
KEY = Cmac(bytes(16))
BATCH = 8


class Scripted:
    """An HSM that makes MACs by one key, as fast as the test lets it."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []
        self.away = False
        self.refuses: set[str] = set()  # ids of keys
        self.reply: HSMReply | None = None

    async def ask(self, request: HSMRequest) -> HSMReply:
        """Answer after a millisecond."""
        await trio.sleep(0.001)
        if self.away:
            raise HSMUnavailableError("away")
        if self.reply is not None:
            return self.reply
        assert isinstance(request, Macs)
        self.batches.append((len(request.generate), len(request.verify)))
        return MacsAnswered(
            [
                MacRefused("unknown_key")
                if each.key_id in self.refuses
                else KEY.message_mac(each.message)
                for each in request.generate
            ],
            [
                MacVerified("1", "current")
                if KEY.verifies(each.message, each.mac)
                else MacRefused("mac_mismatch")
                for each in request.verify
            ],
        )


class Ends:
    """Both ends of the stage: what left it, and what was judged."""

    def __init__(self, stage: MacStage) -> None:
        self._stage = stage
        self.sealed: list[bytes] = []
        self.failed: list[str] = []
        self.verdicts: list[tuple[int, bool]] = []
        self.flushes = 0

    def make(self, number: int, *, key_id: str = "1", for_s: float = 2.0) -> None:
        """Send a message through."""
        frame = b"message %d" % number + bytes(8)
        self._stage.make(Outgoing(key_id, frame, trio.current_time() + for_s, self._done))

    def judge(self, number: int, *, good: bool = True) -> None:
        """Receive one."""
        message = b"answer %d" % number
        mac = KEY.message_mac(message) if good else bytes(8)
        self._stage.judge(Incoming(MacToVerify("vsim", "1", message, mac), self, {}, b"", number))

    def _done(self, whole: bytes, why: str) -> None:
        if why:
            self.failed.append(why)
        else:
            assert KEY.verifies(whole[:-8], whole[-8:])
            self.sealed.append(whole[:-8])

    def judged(self, message: Incoming, verdict: MacVerified | MacRefused) -> None:
        """Hear one verdict."""
        self.verdicts.append((message.connection, isinstance(verdict, MacVerified)))

    def all_judged(self) -> None:
        """Hear that a batch is over."""
        self.flushes += 1


Staged = tuple[Scripted, MacStage, Ends]


@pytest.fixture
def staged(nursery: trio.Nursery) -> Staged:
    """A stage that asks for eight at a time."""
    hsm = Scripted()
    stage = MacStage("vsim", hsm.ask, batch_max=BATCH)
    nursery.start_soon(stage.run)
    return hsm, stage, Ends(stage)


async def test_one_round_trip_for_all_that_gathered(autojump_clock: Clock, staged: Staged) -> None:
    """Both directions share a request; each keeps its order."""
    hsm, stage, ends = staged
    for number in range(3):
        ends.make(number)
        ends.judge(number, good=number != 1)
    await trio.sleep(0.01)
    assert hsm.batches == [(3, 3)]
    assert ends.sealed == [b"message %d" % number for number in range(3)]
    assert ends.verdicts == [(0, True), (1, False), (2, True)]
    assert ends.flushes == 1
    assert (stage.generated_total, stage.verified_total, stage.bad_total) == (3, 2, 1)
    assert len(stage) == 0


async def test_what_comes_meanwhile_gathers_for_the_next_round_trip(
    autojump_clock: Clock, staged: Staged
) -> None:
    """One request at a time: order is kept, and batches grow under load."""
    hsm, _, ends = staged
    ends.make(0)
    await trio.sleep(0.0005)
    for number in range(1, 6):
        ends.make(number)
    await trio.sleep(0.01)
    assert hsm.batches == [(1, 0), (5, 0)]
    assert ends.sealed == [b"message %d" % number for number in range(6)]


async def test_a_full_batch_has_room_for_both_directions(
    autojump_clock: Clock, staged: Staged
) -> None:
    """Neither waits for ever behind the other."""
    hsm, _, ends = staged
    for number in range(20):
        ends.make(number)
        ends.judge(number)
    await trio.sleep(0.1)
    assert hsm.batches[0] == (BATCH // 2, BATCH // 2)
    assert all(sum(batch) <= BATCH for batch in hsm.batches)
    assert len(ends.sealed) == len(ends.verdicts) == 20
    assert [number for number, _ in ends.verdicts] == list(range(20))


async def test_nothing_passes_while_the_hsm_is_away(autojump_clock: Clock, staged: Staged) -> None:
    """Messages wait, told of once; what is too old to be sent by then was not sent."""
    hsm, stage, ends = staged
    hsm.away = True
    with capture_logs() as lines:
        ends.make(1, for_s=0.5)
        ends.make(2, for_s=60.0)
        ends.judge(3)
        await trio.sleep(1.0)
    assert [line["event"] for line in lines] == ["macs_wait_for_the_hsm"]
    assert (ends.sealed, ends.failed, ends.verdicts) == ([], ["mac_unavailable"], [])
    assert len(stage) == 2
    hsm.away = False
    await trio.sleep(0.1)
    assert (ends.sealed, ends.verdicts) == ([b"message 2"], [(3, True)])


async def test_an_answer_of_another_kind_is_none(autojump_clock: Clock, staged: Staged) -> None:
    """It is asked again: no message passes on a misunderstanding."""
    hsm, _, ends = staged
    hsm.reply = Refused("malformed")
    with capture_logs() as lines:
        ends.judge(1)
        await trio.sleep(0.2)
    assert {line["event"] for line in lines} == {"macs_not_answered"}
    assert ends.verdicts == []
    hsm.reply = None
    await trio.sleep(0.1)
    assert ends.verdicts == [(1, True)]


async def test_a_key_that_makes_no_macs_keeps_its_messages_only(
    autojump_clock: Clock, staged: Staged
) -> None:
    """Their neighbors leave."""
    hsm, stage, ends = staged
    hsm.refuses = {"2"}
    ends.make(1)
    ends.make(2, key_id="2")
    ends.make(3)
    await trio.sleep(0.01)
    assert (ends.sealed, ends.failed) == ([b"message 1", b"message 3"], ["mac_refused"])
    assert stage.refused_total == 1


async def test_a_flood_is_bounded(
    autojump_clock: Clock, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is beyond is as lost as if it had never come: its message becomes unknown in time."""
    hsm, stage, ends = staged
    monkeypatch.setattr(mac_stage, "INCOMING_MAX", 5)
    hsm.away = True
    for number in range(9):
        ends.judge(number)
    assert (len(stage), stage.dropped_total) == (5, 4)


async def test_under_load_messages_gather_before_they_are_asked_about(
    autojump_clock: Clock, staged: Staged
) -> None:
    """A round trip costs as much as dozens of MACs: none is small behind a full one."""
    hsm, _, ends = staged
    for number in range(BATCH):
        ends.make(number)
    await trio.sleep(0.0015)  # the answer is here
    ends.make(BATCH)
    await trio.sleep(0.001)
    ends.make(BATCH + 1)
    await trio.sleep(0.1)
    assert hsm.batches == [(BATCH, 0), (2, 0)]
    assert ends.sealed == [b"message %d" % number for number in range(BATCH + 2)]


async def test_a_lone_message_is_asked_about_at_once(autojump_clock: Clock, staged: Staged) -> None:
    """Nobody waits for company where there is no load."""
    hsm, _, ends = staged
    for number in range(2):
        ends.make(number)
        await trio.sleep(0.0015)
        assert hsm.batches == [(1, 0)] * (number + 1)
