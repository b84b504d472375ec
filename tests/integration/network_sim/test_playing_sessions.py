"""What a played network does by itself: it asks, cuts, goes dark, and keeps the calendar."""

from __future__ import annotations

import ssl
from datetime import date

import attrs
import pytest
import trio
import trio.testing

from chassis.settings.tree import Simulator
from network_sim.faults import Alter, Match, Rule
from network_sim.host import Admission
from network_sim.initiative import NoAcquirerError
from network_sim.service import follow_calendar
from tests.support.network import Acquirer, hears_nothing, sale
from tests.support.network_host import SERVER
from tests.support.played import PlayOn


async def test_the_network_asks_and_is_answered(play_on: PlayOn) -> None:
    """A known function, an unknown one, and a connection that ends first."""
    async with play_on() as stage:
        initiative = stage.playing.host.initiative
        with pytest.raises(NoAcquirerError):
            await initiative.ask("echo")
        acquirer = await stage.sign_on()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_answer_management, acquirer, 2)
            assert (await initiative.ask("echo"))[39] == "00"
            assert (await initiative.ask("999"))[39] == "40"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_leave_when_asked, acquirer)
            with pytest.raises(NoAcquirerError):
                await initiative.ask("sign_off")


async def test_a_cutover_is_told_to_every_acquirer(play_on: PlayOn) -> None:
    """DE 15 in the 0800, and in every answer after it."""
    async with play_on() as stage:
        acquirers = [await stage.sign_on(), await stage.sign_on()]
        async with trio.open_nursery() as nursery:
            for acquirer in acquirers:
                nursery.start_soon(_answer_management, acquirer, 1)
            answers = await stage.playing.host.initiative.cut_over(date(2027, 3, 4))
        assert [answer[39] for answer in answers] == ["00", "00"]
        told = stage.playing.record.find("0800", "out")
        assert [message.fields[15] for message in told] == ["0304", "0304"]
        assert (await acquirers[0].ask(sale()))[15] == "0304"


async def test_the_settlement_date_follows_the_calendar(play_on: PlayOn) -> None:
    """Soon after midnight in UTC, and acquirers are told; by the network's own clock."""
    clock = Clock(1_795_391_999_000_000)  # 2026-11-22 23:59:59
    limits = Simulator(cutover_check_s=0.01)
    async with play_on(now_us=clock.now_us, limits=limits) as stage:
        acquirer = await stage.sign_on()
        assert (await acquirer.ask(sale()))[15] == "1122"
        host, issuer = stage.playing.host, stage.playing.issuer
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow_calendar, host, issuer, limits, clock.now_us)
            assert await hears_nothing(acquirer)
            clock.at_us += 2_000_000
            asked = await acquirer.receive()
            assert (asked[70], asked[15], asked[7]) == ("201", "1123", "1123000001")
            await acquirer.send({0: "0810", 7: asked[7], 11: asked[11], 39: "00", 70: "201"})
            assert (await acquirer.ask(sale({11: "000124"})))[15] == "1123"
            nursery.cancel_scope.cancel()


@attrs.define
class Clock:
    """A wall clock that stands still until it is set."""

    at_us: int

    def now_us(self) -> int:
        """The time."""
        return self.at_us


async def test_a_message_may_come_out_of_nowhere(play_on: PlayOn) -> None:
    """Fields as they are, and bytes as they are."""
    async with play_on() as stage:
        acquirer = await stage.sign_on()
        stage.playing.host.initiative.say({0: "0210", 11: "999999", 39: "00"})
        assert await acquirer.receive() == {0: "0210", 11: "999999", 39: "00"}
        stage.playing.host.initiative.send_bytes(b"\x00\x00")
        assert await acquirer.receive_frame() == b""


async def test_connections_are_cut_on_command(play_on: PlayOn) -> None:
    """One, or all of them."""
    async with play_on() as stage:
        acquirers = [await stage.sign_on() for _ in range(3)]
        initiative = stage.playing.host.initiative
        initiative.cut("rst", connection=2)
        with pytest.raises(EOFError):
            await acquirers[1].receive()
        await trio.testing.wait_all_tasks_blocked()
        assert [peer.number for peer in initiative.peers()] == [1, 3]
        initiative.cut()
        for acquirer in (acquirers[0], acquirers[2]):
            with pytest.raises(EOFError):
                await acquirer.receive()


async def test_a_muted_connection_is_a_black_hole(play_on: PlayOn) -> None:
    """It stands, and nothing is read or answered."""
    async with play_on() as stage:
        acquirer = await stage.sign_on()
        stage.playing.host.initiative.mute()
        await acquirer.send(sale())
        assert await hears_nothing(acquirer)
        assert stage.playing.entries() == []
        assert len(stage.playing.host.initiative.peers()) == 1


async def test_a_network_may_be_down(play_on: PlayOn) -> None:
    """Whoever comes is closed before the handshake, until it is up again."""
    async with play_on() as stage:
        stage.playing.host.accepting = False
        with pytest.raises((trio.BrokenResourceError, OSError)):
            await stage.dial()
        stage.playing.host.accepting = True
        assert (await (await stage.sign_on()).ask(sale()))[39] == "00"


async def test_a_network_may_do_without_sign_on(play_on: PlayOn) -> None:
    """For hosts that have none."""
    async with play_on(admission=Admission(sign_on_required=False)) as stage:
        acquirer = await stage.dial()
        assert (await acquirer.ask(sale()))[39] == "00"


@pytest.mark.parametrize("alpn_required", [True, False])
async def test_a_client_may_name_no_protocol_where_that_is_allowed(
    play_on: PlayOn, *, alpn_required: bool
) -> None:
    """Hosts that cannot name one are let in by those who expect them."""
    async with play_on(admission=Admission(alpn_required=alpn_required)) as stage:
        context = ssl.create_default_context(cafile=stage.pki / "ca.pem")
        context.load_cert_chain(stage.pki / "switch.pem", stage.pki / "switch.key")
        transport = await trio.open_tcp_stream("127.0.0.1", stage.playing.port)
        stream = trio.SSLStream(transport, context, server_hostname=SERVER)
        stage.clients.append(transport)
        acquirer = Acquirer(stream, stage.dialect)
        if alpn_required:
            with pytest.raises(EOFError):
                await acquirer.sign_on()
        else:
            await acquirer.sign_on()
            assert (await acquirer.ask(sale()))[39] == "00"


async def test_every_message_is_on_record_masked(play_on: PlayOn) -> None:
    """Both directions, with the rules that applied; the card number is in neither form."""
    pan = "4242424242424242"
    async with play_on(Rule(match=Match(mti="0200"), actions=(Alter(wrong=(37,)),))) as stage:
        acquirer = await stage.sign_on()
        await acquirer.send(sale({48: "9203123"}))
        await acquirer.receive()
        [came] = stage.playing.record.find("0200", "in", de11="000123")
        [went] = stage.playing.record.find("0210", "out")
        assert (came.note, went.note) == ("rule-1", "rule-1")
        assert came.fields[2] == "424242******4242"
        shown = repr([came, went])
        assert pan not in shown
        assert "3132330" not in came.hex
        assert "**" in came.hex


async def _answer_management(acquirer: Acquirer, count: int) -> None:
    """Answer 0800s as an acquirer should that knows echo and cutover."""
    for _ in range(count):
        asked = await acquirer.receive()
        code = "00" if asked[70] in ("301", "201", "002") else "40"
        await acquirer.send({0: "0810", 7: asked[7], 11: asked[11], 39: code, 70: asked[70]})


async def _leave_when_asked(acquirer: Acquirer) -> None:
    await acquirer.receive()
    await acquirer.stream.aclose()
