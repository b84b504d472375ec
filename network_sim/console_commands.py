"""Commands that are typed while `turnout network` runs: the network's own initiative."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from types import MappingProxyType
from typing import Final, TextIO, get_args

import attrs
import trio

from network_sim.console import Console
from network_sim.faults.actions import HowToClose
from network_sim.initiative import NoAcquirerError
from network_sim.messages import APPROVED
from network_sim.playing import Playing
from switch.iso8583 import DE

ANSWER_TIMEOUT_S: Final = 10.0
_HOWS: Final = get_args(HowToClose)

Words = Sequence[str]
Doing = Callable[[Playing, Console, Words], Awaitable[None]]


class UsageError(Exception):
    """The command was not understood; says how it is written."""


@attrs.frozen
class Command:
    """One command.

    Attributes:
        usage: how it is written.
        about: what it does.
        run: does it.
    """

    usage: str
    about: str
    run: Doing


async def obey(commands: TextIO, playing: Playing, console: Console) -> None:
    """Do what each line says, until there are no more."""
    while True:
        read = partial(trio.to_thread.run_sync, commands.readline, abandon_on_cancel=True)
        line = await read()
        if not line:
            return
        if words := line.split():
            await obey_one(words, playing, console)


async def obey_one(words: Words, playing: Playing, console: Console) -> None:
    """Do one command; what goes wrong with it is told."""
    command = COMMANDS.get(words[0])
    if command is None:
        console.say(f"no such command: {words[0]}; try `help`")
        return
    try:
        await command.run(playing, console, words[1:])
    except UsageError:
        console.say(f"usage: {command.usage}")
    except NoAcquirerError as error:
        console.say(str(error))


async def _help(playing: Playing, console: Console, words: Words) -> None:
    del playing, words
    for command in COMMANDS.values():
        console.say(f"  {command.usage:<24} {command.about}")
    await trio.lowlevel.checkpoint()


async def _ask(function: str, playing: Playing, console: Console, words: Words) -> None:
    if words:
        raise UsageError
    await _ask_and_tell(playing, console, function)


async def _function(playing: Playing, console: Console, words: Words) -> None:
    if len(words) != 1 or not (len(words[0]) == 3 and words[0].isdecimal()):
        raise UsageError
    await _ask_and_tell(playing, console, words[0])


async def _ask_and_tell(playing: Playing, console: Console, function: str) -> None:
    try:
        with trio.fail_after(ANSWER_TIMEOUT_S):
            answer = await playing.host.initiative.ask(function)
    except trio.TooSlowError:
        console.say(f"{function}: no answer after {ANSWER_TIMEOUT_S:g} s")
        return
    except KeyError:
        console.say(f"the dialect has no function called {function}")
        return
    console.say(f"{function}: answered {answer.get(DE.RESPONSE_CODE, 'without a code')}")


async def _cutover(playing: Playing, console: Console, words: Words) -> None:
    try:
        day = date.fromisoformat(words[0]) if words else _day_after(playing)
    except ValueError:
        raise UsageError from None
    with trio.move_on_after(ANSWER_TIMEOUT_S):
        answers = await playing.host.initiative.cut_over(day)
        accepted = sum(answer.get(DE.RESPONSE_CODE) == APPROVED for answer in answers)
        console.say(f"{day}: accepted by {accepted} of {len(answers)} connections")
        return
    console.say(f"{day}: not answered by all after {ANSWER_TIMEOUT_S:g} s")


def _day_after(playing: Playing) -> date:
    return date.fromisoformat(playing.issuer.settlement_date) + timedelta(days=1)


async def _key(playing: Playing, console: Console, words: Words) -> None:
    if words:
        raise UsageError
    try:
        with trio.fail_after(ANSWER_TIMEOUT_S):
            answer = await playing.host.initiative.push_key()
    except trio.TooSlowError:
        console.say("the new key was not answered; both keys verify")
    except RuntimeError as error:
        console.say(str(error))
    else:
        console.say(f"key: answered {answer.get(DE.RESPONSE_CODE, 'without a code')}")


async def _cut(playing: Playing, console: Console, words: Words) -> None:
    how = words[0] if words else "fin"
    if len(words) > 1 or how not in _HOWS:
        raise UsageError
    playing.host.initiative.cut(how)  # type: ignore[arg-type]  # one of the words just checked
    console.say("cut")
    await trio.lowlevel.checkpoint()


async def _mute(playing: Playing, console: Console, words: Words) -> None:
    if words:
        raise UsageError
    playing.host.initiative.mute()
    console.say("nothing is read or answered on these connections any more")
    await trio.lowlevel.checkpoint()


async def _door(playing: Playing, console: Console, words: Words, *, open_: bool) -> None:
    if words:
        raise UsageError
    playing.host.accepting = open_
    console.say("connections are accepted" if open_ else "connections are closed at once")
    await trio.lowlevel.checkpoint()


async def _accounts(playing: Playing, console: Console, words: Words) -> None:
    del words
    for (pan, currency), balance in sorted(playing.balances().items()):
        console.say(f"  {pan}  {currency}  held {balance.held}  posted {balance.posted}")
    await trio.lowlevel.checkpoint()


async def _rules(playing: Playing, console: Console, words: Words) -> None:
    del words
    for name, matched, applied in playing.script.counts():
        if matched:
            console.say(f"  {name}: matched {matched}, applied {applied}")
    await trio.lowlevel.checkpoint()


COMMANDS: Final[Mapping[str, Command]] = MappingProxyType(
    {
        "help": Command("help", "this list", _help),
        "echo": Command("echo", "ask for an echo (0800/301)", partial(_ask, "echo")),
        "sign-off": Command("sign-off", "sign off (0800/002)", partial(_ask, "sign_off")),
        "sign-on": Command("sign-on", "sign on again (0800/001)", partial(_ask, "sign_on")),
        "function": Command("function NNN", "send an 0800 with any DE 70", _function),
        "cutover": Command("cutover [YYYY-MM-DD]", "begin a settlement date (0800/201)", _cutover),
        "key": Command("key", "push a new MAC key (0800/101)", _key),
        "cut": Command("cut [goodbye|fin|rst]", "end every connection", _cut),
        "mute": Command("mute", "become a black hole on every connection", _mute),
        "down": Command("down", "close whoever connects", partial(_door, open_=False)),
        "up": Command("up", "let acquirers connect again", partial(_door, open_=True)),
        "accounts": Command("accounts", "what every card holds and has paid", _accounts),
        "rules": Command("rules", "which rules of the script have applied", _rules),
    }
)
