"""A network by a script, over real mutual TLS: every action, seen from the acquirer."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from chassis.framing import FrameError
from network_sim.accounts import Balance
from network_sim.faults import (
    Action,
    Alter,
    Answer,
    Close,
    Corrupt,
    Delay,
    Duplicate,
    Elsewhere,
    Ignore,
    Initiate,
    Interim,
    KeepAlives,
    Lie,
    Match,
    Merge,
    Postpone,
    Redeliver,
    Reframe,
    Reorder,
    Rule,
    Split,
    Stall,
    Unsolicited,
    Withhold,
)
from network_sim.session import SessionState
from switch.iso8583 import DecodeError
from tests.support.network import Acquirer, hears_nothing, inquiry, management, reversal, sale
from tests.support.played import PlayOn

SALES = Match(mti="0200")


def _rule(*actions: Action, nth: int | str | None = None, match: Match = SALES) -> Rule:
    return Rule(match=match, nth=nth, actions=actions)


@pytest.mark.parametrize("codec", ["compiled", "pyiso8583"])
async def test_without_rules_nothing_goes_wrong(play_on: PlayOn, codec: str) -> None:
    """A directed network gives the answers of one that is left to itself, on either codec."""
    async with play_on(codec=codec) as stage:
        acquirer = await stage.sign_on()
        answer = await acquirer.ask(sale())
        echo = await acquirer.ask(management("301"))
        [entry] = stage.playing.entries()
    assert (answer[39], answer[15], echo[39]) == ("00", entry.settles, "00")
    assert stage.playing.balances() == {("424242******4242", "840"): Balance(0, 2499)}


async def test_an_ignored_request_was_never_there(play_on: PlayOn) -> None:
    """No answer, no line; sent again, it is decided for the first time."""
    async with play_on(_rule(Ignore(), nth=1)) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale())
        assert await hears_nothing(acquirer)
        assert stage.playing.entries() == []
        assert (await acquirer.ask(sale()))[39] == "00"


async def test_a_postponed_request_is_overtaken(play_on: PlayOn) -> None:
    """An inquiry finds nothing while it is under way, and its answer later."""
    async with play_on(_rule(Postpone(s=0.1))) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale(), inquiry(sale(), {11: "000900"}))
        assert [(await acquirer.receive())[39] for _ in range(2)] == ["25", "00"]
        assert (await acquirer.ask(inquiry(sale(), {11: "000901"})))[39] == "00"


async def test_a_reversal_may_overtake_its_sale(play_on: PlayOn) -> None:
    """Then nothing is posted."""
    async with play_on(_rule(Postpone(s=0.1))) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale(), reversal(sale(), {11: "000200"}))
        assert [(await acquirer.receive())[39] for _ in range(2)] == ["25", "05"]
        assert sum(entry.posted_change for entry in stage.playing.entries()) == 0


async def test_a_doubled_request_has_one_effect(play_on: PlayOn) -> None:
    """Both copies are answered alike."""
    async with play_on(_rule(Redeliver())) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale())
        assert await acquirer.receive() == await acquirer.receive()
        assert len(stage.playing.entries()) == 1


async def test_a_withheld_answer_was_decided(play_on: PlayOn) -> None:
    """The line is there, an inquiry finds it, and the repeat is answered."""
    async with play_on(_rule(Withhold(), nth="1..2")) as stage:
        acquirer = await stage.sign_on()
        for _ in range(2):
            await acquirer.send(sale())
            assert await hears_nothing(acquirer)
        assert len(stage.playing.entries()) == 1
        assert (await acquirer.ask(inquiry(sale(), {11: "000900"})))[62].startswith("00")
        assert (await acquirer.ask(sale()))[39] == "00"


async def test_a_ruled_code_decides(play_on: PlayOn) -> None:
    """Books and record follow the script."""
    partial = Answer(code="10", percent=60)
    async with play_on(_rule(Answer(code="ZZ"), nth=1), _rule(partial, nth=2)) as stage:
        acquirer = await stage.sign_on()
        assert (await acquirer.ask(sale()))[39] == "ZZ"
        answer = await acquirer.ask(sale({11: "000124"}))
        assert (answer[39], answer[4]) == ("10", "000000001499")
        assert [entry.posted_change for entry in stage.playing.entries()] == [0, 1499]


async def test_a_poisoned_reversal_is_acknowledged_later(play_on: PlayOn) -> None:
    """30 twice without effect; then the same message is taken in."""
    poison = _rule(Answer(code="30"), nth="1..2", match=Match(mti="042?"))
    async with play_on(poison) as stage:
        acquirer = await stage.sign_on()
        await acquirer.ask(sale())
        codes = [
            (await acquirer.ask(reversal(sale(), {0: mti, 11: "000200"})))[39]
            for mti in ("0420", "0421", "0421")
        ]
        assert codes == ["30", "30", "00"]


async def test_a_wait_code_comes_before_the_answer(play_on: PlayOn) -> None:
    """09 at once, what was decided after a while; an inquiry in between hears 09."""
    async with play_on(_rule(Interim(s=0.1))) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale(), inquiry(sale(), {11: "000900"}))
        waiting, asked, final = [await acquirer.receive() for _ in range(3)]
        assert [waiting[39], asked[39], final[39]] == ["09", "09", "00"]
        assert 38 not in waiting


async def test_a_delayed_answer_is_under_way(play_on: PlayOn) -> None:
    """Not before its time, scaled by the network's factor."""
    async with play_on(_rule(Delay(s=10.0)), time_factor=0.01) as stage:
        acquirer = await stage.sign_on()
        began_at = trio.current_time()
        await acquirer.send(sale(), inquiry(sale(), {11: "000900"}))
        assert [(await acquirer.receive())[39] for _ in range(2)] == ["09", "00"]
        assert 0.1 <= trio.current_time() - began_at < 9


@pytest.mark.parametrize("number", [3, 4, 11, 37, 41, 42, 49])
async def test_a_wrong_echo_is_wrong_in_one_element(play_on: PlayOn, number: int) -> None:
    """Everything else is as it should be."""
    async with play_on(_rule(Alter(wrong=(number,)))) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale())
        answer = await acquirer.receive()
        sent = sale()
        assert [de for de in (3, 4, 7, 11, 32, 37, 41, 42, 49) if answer[de] != sent[de]] == [
            number
        ]


async def test_an_answer_may_miss_what_it_must_have(play_on: PlayOn) -> None:
    """Or be one of another class."""
    alter = Alter(set={0: "0410"}, remove=(39,))
    async with play_on(_rule(alter)) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale())
        answer = await acquirer.receive()
        assert (answer[0], 39 in answer) == ("0410", False)


@pytest.mark.parametrize(
    "corrupt",
    [
        Corrupt(how="digit", element=4),
        Corrupt(how="truncated", count=3),
        Corrupt(how="trailing"),
        Corrupt(how="bit", element=127),
        Corrupt(how="mti", value="0A0F"),
        Corrupt(how="control", element=42),
    ],
    ids=lambda corrupt: corrupt.how,
)
async def test_a_broken_answer_cannot_be_read(play_on: PlayOn, corrupt: Corrupt) -> None:
    """Its frame is whole, and the next answer is good."""
    async with play_on(_rule(corrupt, nth=1)) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale())
        with pytest.raises(DecodeError):
            stage.dialect.decode(await acquirer.receive_frame())
        assert (await acquirer.ask(sale({11: "000124"})))[39] == "00"


async def test_a_frame_may_leave_byte_by_byte(play_on: PlayOn) -> None:
    """Each byte in a TLS record of its own."""
    async with play_on(_rule(Split())) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale())
        first = await acquirer.stream.receive_some()
        assert len(first) < 50
        acquirer.push(bytes(first))
        assert (await acquirer.receive())[39] == "00"


async def test_a_slow_frame_pauses(play_on: PlayOn) -> None:
    """Ten pieces, a pause after each but the last."""
    async with play_on(_rule(Split(bytes=10, every_s=0.02))) as stage:
        acquirer = await stage.sign_on()
        began_at = trio.current_time()
        assert (await acquirer.ask(sale()))[39] == "00"
        assert trio.current_time() - began_at >= 0.1


async def test_answers_may_be_merged(play_on: PlayOn) -> None:
    """Twenty in one write, though they were asked for one by one."""
    async with play_on(_rule(Merge(frames=20))) as stage:
        acquirer = await stage.sign_on()
        stans = [f"{number:06d}" for number in range(1, 21)]
        for stan in stans[:-1]:
            await acquirer.send(sale({11: stan}))
        assert await hears_nothing(acquirer)
        await acquirer.send(sale({11: stans[-1]}))
        assert [(await acquirer.receive())[11] for _ in stans] == stans


@pytest.mark.parametrize("seed", [1, 2])
async def test_answers_may_come_in_another_order(play_on: PlayOn, seed: int) -> None:
    """Everyone once; the same seed gives the same order, and what is left over comes in time."""
    orders = []
    for _ in range(2):
        async with play_on(_rule(Reorder(window=8, within_s=0.05)), seed=seed) as stage:
            acquirer = await stage.sign_on()
            await acquirer.send(*(sale({11: f"{number:06d}"}) for number in range(1, 12)))
            orders.append([(await acquirer.receive())[11] for _ in range(11)])
        stage.playing.journal.unlink()
    assert orders[0] == orders[1]
    assert orders[0] != sorted(orders[0])
    assert sorted(orders[0]) == [f"{number:06d}" for number in range(1, 12)]


@pytest.mark.parametrize(("code", "codes"), [(None, ["00", "00"]), ("05", ["00", "05"])])
async def test_an_answer_may_come_twice(
    play_on: PlayOn, code: str | None, codes: list[str]
) -> None:
    """The same again, or another one."""
    async with play_on(_rule(Duplicate(code=code, after_s=0.01))) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale())
        assert [(await acquirer.receive())[39] for _ in range(2)] == codes


async def test_an_answer_may_come_unasked(play_on: PlayOn) -> None:
    """Beside the good one, with numbers that nobody knows."""
    async with play_on(_rule(Unsolicited())) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale())
        good, stray = await acquirer.receive(), await acquirer.receive()
        assert good[11] == "000123"
        assert (stray[11], stray[37]) == ("000124", "0ABCDEF12346")


async def test_an_answer_may_come_by_another_connection(play_on: PlayOn) -> None:
    """By its own, where there is no other."""
    async with play_on(_rule(Elsewhere())) as stage:
        first = await stage.sign_on()
        assert (await first.ask(sale()))[11] == "000123"
        second = await stage.sign_on()
        await first.send(sale({11: "000124"}))
        assert (await second.receive())[11] == "000124"


@pytest.mark.parametrize("how", ["goodbye", "fin", "rst"])
@pytest.mark.parametrize("when", ["before", "middle", "after"])
async def test_a_connection_may_end_around_an_answer(play_on: PlayOn, when: str, how: str) -> None:
    """Before, within, or behind it; what was decided is on record."""
    async with play_on(_rule(Close(when=when, how=how))) as stage:  # type: ignore[arg-type]
        acquirer = await stage.sign_on()
        await acquirer.send(sale())
        if when == "after":
            assert (await acquirer.receive())[39] == "00"
        with pytest.raises(EOFError):
            await acquirer.receive()
        assert acquirer.held_bytes > 0 if when == "middle" else acquirer.held_bytes == 0
        assert len(stage.playing.entries()) == 1


async def test_a_network_may_stop_reading(play_on: PlayOn) -> None:
    """What is sent meanwhile is answered when it reads on."""
    async with play_on(_rule(Stall(s=0.2), nth=1)) as stage:
        acquirer = await stage.sign_on()
        assert (await acquirer.ask(sale()))[39] == "00"
        await acquirer.send(sale({11: "000124"}))
        assert await hears_nothing(acquirer)
        assert (await acquirer.receive())[11] == "000124"


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Lie(length=0xFFFF), "length 65535 is outside"),
        (Lie(by=-3), "is outside"),
        (Reframe(length="ascii4"), "length 12336 is outside"),
    ],
)
async def test_a_length_may_lie(play_on: PlayOn, action: Action, reason: str) -> None:
    """The acquirer's framing is lost at once, or by the next frame."""
    async with play_on(_rule(action)) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale(), management("301"))
        with pytest.raises(FrameError, match=reason):
            await _read_to_the_end(acquirer)


async def test_frames_of_nothing_may_come_in_a_flood(play_on: PlayOn) -> None:
    """Ahead of the answer."""
    async with play_on(_rule(KeepAlives(count=500))) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale())
        frames = [await acquirer.receive_frame() for _ in range(501)]
        assert frames[:-1] == [b""] * 500
        assert stage.dialect.decode(frames[-1])[39] == "00"


async def test_a_script_may_have_the_network_ask(play_on: PlayOn) -> None:
    """An echo of its own behind the third sale; its answer is expected."""
    async with play_on(_rule(Initiate(function="echo"), nth=3)) as stage:
        acquirer = await stage.sign_on()
        for number in range(1, 4):
            await acquirer.send(sale({11: f"{number:06d}"}))
        messages = [await acquirer.receive() for _ in range(4)]
        echo = next(fields for fields in messages if fields[0] == "0800")
        await acquirer.send({**echo, 0: "0810", 39: "00"})
        await stage.playing.record.wait_for("0810", "in")
        assert stage.playing.host.frames.unasked_total == 0


async def test_a_sign_on_may_be_refused(play_on: PlayOn) -> None:
    """91 twice, then 00; a sale in between ends the connection."""
    refuse = Rule(match=Match(function="sign_on"), nth="1..2", action=Answer(code="91"))
    async with play_on(refuse) as stage:
        acquirer = await stage.dial()
        codes = [(await acquirer.ask(management("001")))[39] for _ in range(3)]
        assert codes == ["91", "91", "00"]
        assert stage.playing.host.initiative.peers()[0].session is SessionState.SIGNED_ON


async def test_echoes_may_stay_unanswered(play_on: PlayOn) -> None:
    """While sales are answered."""
    silence = Rule(match=Match(function="echo"), action=Withhold())
    async with play_on(silence) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(management("301"))
        assert (await acquirer.ask(sale()))[39] == "00"


async def test_rules_change_while_a_network_runs(play_on: PlayOn) -> None:
    """From one message to the next."""
    async with play_on() as stage:
        acquirer = await stage.sign_on()
        name = stage.playing.script.add(_rule(Answer(code="05")))
        assert (await acquirer.ask(sale()))[39] == "05"
        assert stage.playing.script.applied(name) == 1
        stage.playing.script.remove(name)
        assert (await acquirer.ask(sale({11: "000124"})))[39] == "00"


async def _read_to_the_end(acquirer: Acquirer) -> None:
    while True:
        await acquirer.receive_frame()
