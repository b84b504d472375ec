"""KX: messages that are authenticated, and the keys for that."""

from __future__ import annotations

import os
from typing import Any, Final

import trio

from certification.desk import Desk
from certification.network import Exchange
from certification.registry import case
from certification.suites.reversals import in_doubt
from certification.suites.sessions import manage
from certification.vocabulary import ECHO, MANAGEMENT, REQUESTS
from chassis.mac import Cmac, check_value_text
from chassis.secrets import Key
from chassis.settings import Settings
from network_sim.keys import KeyServer, MacKey
from stack.hsm_admin import load_kek, parse_component
from stack.options import Place

KEY_PUSH: Final = "101"
KEY_EXCHANGE: Final = "161"
KEY_DATA: Final = 60
KEK_BYTES: Final = 32
KEY_AGE_S: Final = 1.0  # so that a run sees several changes


async def keyed(desk: Desk) -> KeyServer:
    """Give both sides a key-exchange key, and wait for the first session key."""
    parts = [os.urandom(KEK_BYTES) for _ in range(2)]
    kek = bytes(a ^ b for a, b in zip(*parts, strict=True))
    components = [
        parse_component(number, part.hex(), check_value_text(part))
        for number, part in enumerate(parts, start=1)
    ]
    desk.network.keys = KeyServer(Key(kek), random=os.urandom)
    place = Place(Settings(), desk.stack.data_dir)
    await trio.to_thread.run_sync(
        load_kek, place, desk.network.name, components, check_value_text(kek)
    )
    desk.network.accepting.set()
    await desk.network.signed_on()
    desk.equal("keys were asked for", bool(_asked(desk)), True)
    return desk.network.keys


def _asked(desk: Desk) -> list[Any]:
    return [line for line in desk.network.heard(MANAGEMENT) if line.fields[70] == KEY_EXCHANGE]


@case("KX01", up=False, macs=True)
async def good_bad_absent(desk: Desk) -> None:
    """Every message carries a MAC; an answer without a good one is no answer."""
    await keyed(desk)
    await desk.recovers()
    sale = desk.network.heard(REQUESTS)[-1]
    desk.check(that=53 in sale.fields and 64 in sale.fields, what="the sale carries DE 53 and 64")
    desk.equal("messages that were not authentic", desk.network.unauthentic, 0)

    async def bad(exchange: Exchange) -> None:
        message = exchange.network.pack(exchange.decide())
        broken = message[:-1] + bytes([message[-1] ^ 0x01])
        exchange.connection.send_raw(exchange.connection.frame(broken), "a MAC that is wrong")

    async def absent(exchange: Exchange) -> None:
        message = exchange.network.codec.encode(exchange.decide())
        exchange.connection.send_raw(exchange.connection.frame(message), "no MAC at all")

    for handler in (bad, absent):
        desk.network.on(REQUESTS, handler)
        answer = await in_doubt(desk)
        await desk.ends(answer, "succeeded", intent="succeeded")
    await desk.logged("messages_not_authentic", f'"{desk.network.name}"')
    (connection,) = desk.network.connections
    forged = {0: MANAGEMENT, 7: "1122071000", 11: "990001", 70: "002"}
    connection.send_raw(
        connection.frame(bytes(desk.network.codec.encode(forged))), "a sign-off without a MAC"
    )
    (refusal,) = await desk.network.hear("0810", fits=lambda fields: fields.get(11) == "990001")
    desk.check(that=refusal.fields[39] in {"63", "96"}, what=f"it is told {refusal.fields[39]}")
    desk.equal("and nothing is done: a sale is", (await desk.pay()).status, "succeeded")


@case("KX02", up=False, macs=True, settings={"mac_key_age_s": KEY_AGE_S})
async def rotation(desk: Desk) -> None:
    """Keys change every second under payments, by either side's doing."""
    await keyed(desk)
    await desk.recovers()
    (connection,) = desk.network.connections
    statuses: set[str] = set()
    count = 0
    with trio.move_on_after(4 * KEY_AGE_S) as running:
        while not running.cancelled_caught:
            with trio.CancelScope(shield=True):
                answers = await desk.many(10)
                statuses |= {answer.status for answer in answers}
                count += len(answers)
                _, told, _ = await manage(desk, connection, KEY_PUSH, desk.network.mint())
                desk.network.keys.taken_over(_key_id(desk), 0) if told.fields[39] == "00" else None  # type: ignore[union-attr]
            await trio.lowlevel.checkpoint()
    desk.equal(f"{count} payments", statuses, {"succeeded"})
    desk.equal("messages that were not authentic", desk.network.unauthentic, 0)
    used = {line.fields[53] for line in desk.network.heard(REQUESTS)}
    desk.check(that=len(used) >= 3, what=f"{len(used)} keys were used")
    log = await trio.to_thread.run_sync(desk.log)
    failed = [
        line
        for line in log.splitlines()
        if "messages_not_authentic" in line and f'"{desk.network.name}"' in line
    ]
    desk.equal("answers that were not authentic", len(failed), 0)


def _key_id(desk: Desk) -> str:
    keys = desk.network.keys
    return keys.next.key_id if keys is not None and keys.next is not None else ""


@case("KX03", up=False, macs=True)
async def wrong_check_value(desk: Desk) -> None:
    """A key that is not what its check value says is refused; the old one stays."""
    keys = await keyed(desk)
    await desk.recovers()
    current = desk.network.heard(REQUESTS)[-1].fields[53]
    (connection,) = desk.network.connections
    data = keys.mint(0).elements()[KEY_DATA]
    false = data[:-6] + ("000000" if data[-6:] != "000000" else "111111")
    _, told, _ = await manage(desk, connection, KEY_PUSH, {KEY_DATA: false})
    desk.check(that=told.fields[39] != "00", what=f"it is refused with {told.fields[39]}")
    desk.equal("a sale", (await desk.pay()).status, "succeeded")
    desk.equal("its key is the old one", desk.network.heard(REQUESTS)[-1].fields[53], current)


@case("KX04", up=False, macs=True)
async def expired_key(desk: Desk) -> None:
    """An answer by a key that is none any more is one without a good MAC."""
    await keyed(desk)
    await desk.recovers()
    gone = MacKey("0000000000000001", Cmac(os.urandom(16)), "")

    async def stale(exchange: Exchange) -> None:
        message = exchange.network.pack(exchange.decide(), gone)
        exchange.connection.send_raw(exchange.connection.frame(message), "by an expired key")

    desk.network.on(REQUESTS, stale)
    answer = await in_doubt(desk)
    await desk.ends(answer, "succeeded", intent="succeeded")
    await desk.logged("messages_not_authentic", f'"{desk.network.name}"')


@case("KX05", up=False, macs=True)
async def rotation_interrupted(desk: Desk) -> None:
    """The connection ends when a key is on its way: whichever key is used, both sides know it."""
    await keyed(desk)
    await desk.recovers()
    (connection,) = desk.network.connections
    connection.send(
        {0: MANAGEMENT, 7: "1122071000", 11: "990002", 70: KEY_PUSH, **desk.network.mint()}
    )
    await trio.sleep(0.05)
    connection.reset()
    desk.saw("the connection was reset behind a key that was pushed")
    await desk.recovers()
    (connection,) = desk.network.connections
    _, told, _ = await manage(desk, connection, ECHO)
    desk.equal("an echo is answered", told.fields[39], "00")
    desk.equal("messages that were not authentic", desk.network.unauthentic, 0)
