"""Commands typed while a network runs."""

from __future__ import annotations

import io

import attrs
import pytest
import trio

from chassis.secrets import Key
from network_sim.console import Console
from network_sim.console_commands import COMMANDS, obey, obey_one
from network_sim.faults import Answer, Initiate, Match, Rule
from tests.support.network import Acquirer, management, sale
from tests.support.played import PlayOn, Stage


@attrs.define
class Desk:
    """Somebody at the console."""

    stage: Stage
    output: io.StringIO = attrs.field(factory=io.StringIO)

    @property
    def console(self) -> Console:
        """What is told."""
        return Console(self.output, self.stage.dialect, verbose=False)

    async def type(self, line: str) -> str:
        """Type one command; what the network said to it."""
        before = len(self.output.getvalue())
        with trio.fail_after(10):
            await obey_one(line.split(), self.stage.playing, self.console)
        return self.output.getvalue()[before:].rstrip("\n")

    async def type_and_answer(self, line: str, acquirer: Acquirer, code: str = "00") -> str:
        """Type a command that asks the acquirer, who answers."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_answer, acquirer, code)
            return await self.type(line)


async def _answer(acquirer: Acquirer, code: str) -> None:
    asked = await acquirer.receive()
    await acquirer.send({0: "0810", 7: asked[7], 11: asked[11], 39: code, 70: asked[70]})


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("echo", "00", "echo: answered 00"),
        ("sign-off", "00", "sign_off: answered 00"),
        ("sign-on", "91", "sign_on: answered 91"),
        ("function 999", "40", "999: answered 40"),
        ("cutover 2027-03-04", "00", "2027-03-04: accepted by 1 of 1 connections"),
        ("cutover", "40", "2026-11-23: accepted by 0 of 1 connections"),
    ],
)
async def test_what_the_acquirer_answers_is_told(
    play_on: PlayOn, line: str, code: str, told: str
) -> None:
    """Its code, whatever it is."""
    async with play_on(now_us=lambda: 1_795_331_402_000_000) as stage:
        acquirer = await stage.sign_on()
        assert await Desk(stage).type_and_answer(line, acquirer, code) == told


@pytest.mark.parametrize(
    "line",
    ["echo now", "function", "function 12", "function abc", "cutover tomorrow", "cut softly",
     "mute all", "down now", "key please"],
)  # fmt: skip
async def test_a_command_that_is_not_understood_tells_its_usage(play_on: PlayOn, line: str) -> None:
    """And does nothing."""
    async with play_on() as stage:
        usage = COMMANDS[line.split(maxsplit=1)[0]].usage
        assert await Desk(stage).type(line) == f"usage: {usage}"


async def test_without_anybody_connected_there_is_nobody_to_ask(play_on: PlayOn) -> None:
    """Each command says so; an unknown one points to the list."""
    async with play_on() as stage:
        desk = Desk(stage)
        assert await desk.type("echo") == "there is no connection"
        assert await desk.type("dance") == "no such command: dance; try `help`"
        listed = await desk.type("help")
        assert all(command.usage in listed for command in COMMANDS.values())
        assert await desk.type("key") == "this network has no MAC keys"


async def test_a_key_is_pushed_by_command(play_on: PlayOn) -> None:
    """Its answer is told; without a MAC it settles nothing once there is a key."""
    async with play_on(mac="cmac", kek=Key(bytes(range(32)))) as stage:
        acquirer = await stage.sign_on()
        assert await Desk(stage).type_and_answer("key", acquirer) == "key: answered 00"
        assert stage.playing.keys is not None
        assert stage.playing.keys.current is not None


async def test_connections_are_cut_muted_and_turned_away(play_on: PlayOn) -> None:
    """All of them; whoever comes later finds what the door says."""
    async with play_on() as stage:
        desk = Desk(stage)
        acquirer = await stage.sign_on()
        assert await desk.type("cut rst") == "cut"
        with pytest.raises(EOFError):
            await acquirer.receive()
        assert await desk.type("down") == "connections are closed at once"
        with pytest.raises((OSError, trio.BrokenResourceError)):
            await stage.dial()
        assert await desk.type("up") == "connections are accepted"
        silent = await stage.sign_on()
        assert (await desk.type("mute")).startswith("nothing is read or answered")
        await silent.send(management("301"))
        with trio.move_on_after(0.05):
            await silent.receive()
            raise AssertionError("a muted connection answered")


async def test_books_and_rules_are_told(play_on: PlayOn) -> None:
    """Balances by card, and the rules that have matched anything."""
    often = Rule(name="often", match=Match(mti="0200"), nth="2..", action=Answer(code="51"))
    never = Rule(name="never", match=Match(mti="0400"), action=Answer(code="51"))
    async with play_on(often, never) as stage:
        acquirer = await stage.sign_on()
        for stan in ("000001", "000002"):
            await acquirer.ask(sale({11: stan}))
        desk = Desk(stage)
        assert await desk.type("accounts") == "  424242******4242  840  held 0  posted 2499"
        assert await desk.type("rules") == "  often: matched 2, applied 1"


async def test_commands_are_read_until_there_are_no_more(play_on: PlayOn) -> None:
    """Empty lines are nothing."""
    async with play_on() as stage:
        desk = Desk(stage)
        with trio.fail_after(10):
            await obey(io.StringIO("\nrules\n\ndance\n"), stage.playing, desk.console)
        assert desk.output.getvalue() == "no such command: dance; try `help`\n"


async def test_connections_and_refusals_are_told(play_on: PlayOn) -> None:
    """With the number of the connection, and the rule that was broken."""
    async with play_on(Rule(match=Match(mti="0200"), action=Initiate(function="unheard"))) as stage:
        desk = Desk(stage)
        desk.console.follow(stage.playing)
        acquirer = await stage.sign_on()
        await acquirer.ask(sale())
        await acquirer.stream.aclose()
        stranger = await trio.open_tcp_stream("127.0.0.1", stage.playing.port)
        await stranger.send_all(b"\x00" * 20)
        with trio.fail_after(20):
            while "refused" not in desk.output.getvalue():
                await trio.sleep(0.01)
        await stranger.aclose()
        told = desk.output.getvalue()
        assert "  #1 connected\n" in told
        assert "#1 closed: the acquirer left\n" in told
        assert "refused: handshake failed: " in told
        assert "(rule T1: the client speaks TLS)" in told
