"""FR: bytes that come in pieces, in heaps, too slowly, not at all, or framed by another rule."""

from __future__ import annotations

from typing import Final

import trio

from certification.desk import Desk
from certification.network import Exchange
from certification.registry import case
from certification.suites.reversals import in_doubt
from certification.vocabulary import ECHO, MANAGEMENT, REQUESTS

MERGED: Final = 200
FLOOD: Final = 400


def _pack(exchange: Exchange) -> bytes:
    """The good answer as it should travel."""
    return exchange.connection.pack(exchange.decide(), answering=exchange.frame)


@case("FR01")
async def split(desk: Desk) -> None:
    """One byte in a segment."""

    async def crawl(exchange: Exchange) -> None:
        exchange.connection.send_slowly(_pack(exchange), 0.001, "one byte in a write")

    desk.network.on(REQUESTS, crawl)
    answer = await desk.pay()
    desk.equal("the merchant hears", answer.status, "succeeded")


@case("FR02")
async def merged(desk: Desk) -> None:
    """Two hundred frames in one write."""
    waiting: list[Exchange] = []

    async def collect(exchange: Exchange) -> None:
        waiting.append(exchange)
        if len(waiting) == MERGED:
            exchange.connection.send_raw(b"".join(map(_pack, waiting)), f"{MERGED} frames")

    desk.network.on(REQUESTS, collect, times=MERGED)
    answers = await desk.many(MERGED)
    desk.equal("told succeeded", [each.status for each in answers].count("succeeded"), MERGED)


@case("FR03")
async def cut(desk: Desk) -> None:
    """Half an answer, then a reset; half an answer, then an orderly end."""
    for ending in ("reset", "close"):

        async def half(exchange: Exchange, ending: str = ending) -> None:
            data = _pack(exchange)
            exchange.connection.send_raw(data[: len(data) // 2], f"half an answer, then {ending}")
            await trio.sleep(0.1)
            getattr(exchange.connection, ending)()

        desk.network.on(REQUESTS, half)
        answer = await in_doubt(desk)
        await desk.network.signed_on()
        await desk.ends(answer, "succeeded", intent="succeeded")


@case("FR04")
async def slow_peer(desk: Desk) -> None:
    """A length, and then a byte now and then."""
    limit_s = desk.network.settings.frame_body_timeout_s

    async def drip(exchange: Exchange) -> None:
        data = _pack(exchange)
        exchange.connection.send_raw(data[:2], "the length of an answer")
        exchange.connection.send_slowly(data[2:], limit_s / 3, "a byte now and then")

    desk.network.on(REQUESTS, drip)
    began = trio.current_time()
    answer = await in_doubt(desk)
    await desk.network.event("closed")
    desk.check(
        that=trio.current_time() - began < 2 * limit_s + 3, what="closed at the body's deadline"
    )
    await desk.logged("link_down", f'"{desk.network.name}"', "did not arrive in time")
    await desk.network.signed_on()
    await desk.ends(answer, "succeeded", intent="succeeded")


@case("FR05")
async def lengths_that_lie(desk: Desk) -> None:
    """Too large a length, too small a frame, one byte less and one more than the body."""

    async def huge(exchange: Exchange) -> None:
        exchange.connection.send_raw(b"\xff\xff" + _pack(exchange)[2:], "length 65535")

    desk.network.on(REQUESTS, huge)
    answer = await in_doubt(desk)
    await desk.logged("link_down", f'"{desk.network.name}"', "65535")
    await desk.network.signed_on()
    await desk.ends(answer, "succeeded", intent="succeeded")

    async def tiny(exchange: Exchange) -> None:
        exchange.connection.send_raw(b"\x00\x03abc", "a frame of three bytes")
        await trio.sleep(0.1)
        exchange.answer()

    desk.network.on(REQUESTS, tiny)
    desk.equal("behind a tiny frame", (await desk.pay()).status, "succeeded")
    for skew in (-1, 1):

        async def lies(exchange: Exchange, skew: int = skew) -> None:
            data = _pack(exchange)
            length = (int.from_bytes(data[:2], "big") + skew).to_bytes(2, "big")
            exchange.connection.send_raw(length + data[2:], f"a length off by {skew}")

        desk.network.on(REQUESTS, lies)
        answer = await in_doubt(desk)
        await desk.network.signed_on()
        await desk.ends(answer, "succeeded", intent="succeeded")


@case("FR06")
async def stalled_reader(desk: Desk) -> None:
    """The network stops reading: what was sent is in doubt, the rest is refused, and it ends."""
    (connection,) = desk.network.connections
    connection.stall()
    before = await desk.metrics()

    async def one() -> None:
        try:
            await desk.pay()
        except Exception as error:  # noqa: BLE001  refusals are expected, in any form
            refused.append(str(error))

    refused: list[str] = []
    async with trio.open_nursery() as load:
        for _ in range(FLOOD):
            load.start_soon(one)
    told = {answer.status for answer in desk.told}
    desk.check(that="succeeded" not in told, what=f"told {sorted(told)}, refused {len(refused)}")
    settings = desk.network.settings
    within_s = (
        desk.network.dialect.policy.echo_misses_max
        * (settings.echo_idle_s + settings.echo_timeout_s)
        + 10
    )
    await desk.logged("link_down", f'"{desk.network.name}"', within_s=within_s)
    after = await desk.metrics()
    name = "turnout_switch_resident_bytes"
    grown = after.total(name) - before.total(name)
    desk.check(that=grown < 32 * 1_048_576, what=f"memory grew by {grown / 1_048_576:.0f} MiB")
    connection.reading.set()
    connection.tear()
    await desk.recovers()


@case("FR07", up=False)
async def wrong_framing(desk: Desk) -> None:
    """The network frames by another rule than the dialect says."""

    async def ascii_length(exchange: Exchange) -> None:
        data = _answer_of(exchange)
        exchange.connection.send_raw(f"{len(data):04d}".encode() + data, "a length in ASCII")

    async def inclusive(exchange: Exchange) -> None:
        data = _answer_of(exchange)
        exchange.connection.send_raw(
            (len(data) + 2).to_bytes(2, "big") + data, "a length that includes itself"
        )

    desk.network.on(MANAGEMENT, ascii_length)
    desk.network.on(MANAGEMENT, inclusive)
    desk.network.accepting.set()
    await desk.logged("link_down", f'"{desk.network.name}"', "ASCII")
    await desk.network.hear(MANAGEMENT, 2)
    desk.saw("it tries again")
    await desk.network.event("closed", count=2)
    await desk.recovers()


def _answer_of(exchange: Exchange) -> bytes:
    """The 0810 of a sign-on, without its framing."""
    session = exchange.connection.session
    good = {de: exchange.fields[de] for de in (7, 11, 70)} | {0: "0810", 39: "00"}
    del session
    return exchange.network.codec.encode(good)


@case("FR08")
async def half_open(desk: Desk) -> None:
    """The network is a black hole: connected, and nobody there."""
    (connection,) = desk.network.connections
    settings = desk.network.settings

    async def nobody(_exchange: Exchange) -> None:
        return

    rule = desk.network.on(MANAGEMENT, nobody, times=None, fits=lambda fields: fields[70] == ECHO)
    connection.stall()
    within_s = desk.network.dialect.policy.echo_misses_max * (
        settings.echo_idle_s + settings.echo_timeout_s
    )
    began = trio.current_time()
    await desk.logged(
        "link_down", f'"{desk.network.name}"', "echoes unanswered", within_s=within_s + 10
    )
    desk.check(
        that=trio.current_time() - began <= within_s + 5,
        what=f"found after {trio.current_time() - began:.1f} s of at most {within_s:.0f}",
    )
    rule.left = 0
    connection.reading.set()
    connection.tear()
    await desk.recovers()
