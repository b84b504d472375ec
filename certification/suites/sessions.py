"""NM: sign-on, echo, sign-off, cutover, and what a network may ask by 0800."""

from __future__ import annotations

import os
import signal
from datetime import date, timedelta
from itertools import count
from typing import Final

import trio

from certification.connection import Connection
from certification.desk import Desk
from certification.handlers import delayed, drop
from certification.network import Exchange, PlayedNetwork
from certification.registry import case
from certification.trace import Line
from certification.vocabulary import CUTOVER, ECHO, MANAGEMENT, REQUESTS, SIGN_OFF, SIGN_ON

_stans: Final = count(900_001)
ANSWERED_WITHIN_S: Final = 1.0  # iso8583.md 3: an 0800 of the network's


async def manage(
    desk: Desk, connection: Connection, function: str, extra: dict[int, str] | None = None
) -> tuple[dict[int, str], Line, float]:
    """Send an 0800 of the network's; the message, its answer, and the seconds between."""
    stan = f"{next(_stans):06d}"
    fields = {0: MANAGEMENT, 7: "1122071000", 11: stan, 70: function, **(extra or {})}
    began = trio.current_time()
    connection.send(fields)
    (answer,) = await desk.network.hear("0810", fits=lambda heard: heard.get(11) == stan)
    return fields, answer, answer.at_s - began


def _asked(network: PlayedNetwork, function: str) -> list[Line]:
    return [line for line in network.heard(MANAGEMENT) if line.fields[70] == function]


@case("NM01", connections=2)
async def sign_on(desk: Desk) -> None:
    """Each connection opens with a sign-on."""
    for number in (1, 2):
        first = next(
            line
            for line in desk.network.trace
            if line.direction == "in" and line.connection == number
        )
        desk.equal(f"first message on connection {number}", first.mti, MANAGEMENT)
        desk.equal("DE 70", first.fields[70], SIGN_ON)
        desk.check(that={7, 11} <= first.fields.keys(), what="DE 7 and 11 are there")
    desk.equal("a sale", (await desk.pay()).status, "succeeded")


@case("NM02", up=False)
async def sign_on_refused(desk: Desk) -> None:
    """The network does not let us in: try again, not too often, and tell somebody."""

    def refused_with(code: str) -> object:
        async def handler(exchange: Exchange) -> None:
            exchange.send({**{de: exchange.fields[de] for de in (7, 11, 70)}, 0: "0810", 39: code})

        return handler

    signing_on = lambda fields: fields[70] == SIGN_ON  # noqa: E731
    for code in ("91", "05", "91", "05"):
        desk.network.on(MANAGEMENT, refused_with(code), fits=signing_on)  # type: ignore[arg-type]
    desk.network.accepting.set()
    await desk.network.hear(MANAGEMENT, 3)
    await desk.refused(desk.pay(), "network_unavailable")
    await desk.logged("link_alarm", f'"{desk.network.name}"')
    await desk.network.hear(MANAGEMENT, 5, within_s=60)
    tries = [line.at_s for line in _asked(desk.network, SIGN_ON)]
    span_s = tries[-1] - tries[0]
    desk.check(that=span_s > desk.network.settings.reconnect_min_s, what="it backs off")
    await desk.recovers()


@case("NM03", up=False)
async def before_sign_on(desk: Desk) -> None:
    """The sign-on is unanswered: nothing financial may leave."""
    desk.network.on(MANAGEMENT, drop, times=1)
    desk.network.accepting.set()
    await desk.network.hear(MANAGEMENT)
    began = trio.current_time()
    await desk.refused(desk.pay(), "network_unavailable")
    desk.check(that=trio.current_time() - began < 1.0, what="refused within a second")
    desk.equal("financial messages", len(desk.network.financial()), 0)


@case("NM04")
async def echo(desk: Desk) -> None:
    """Silence is answered by an echo, and its answer starts the idle time anew."""
    idle_s = desk.network.settings.echo_idle_s
    await desk.network.hear(
        MANAGEMENT, 2, within_s=4 * idle_s + 10, fits=lambda fields: fields[70] == ECHO
    )
    first, second = _asked(desk.network, ECHO)[:2]
    (signing_on,) = _asked(desk.network, SIGN_ON)
    stans = {line.fields[11] for line in (signing_on, first, second)}
    desk.equal("different STANs", len(stans), 3)
    desk.check(
        that=first.at_s - signing_on.at_s >= 0.9 * idle_s,
        what=f"the first echo after {first.at_s - signing_on.at_s:.2f} s of silence",
    )
    desk.check(
        that=second.at_s - first.at_s >= 0.9 * idle_s,
        what=f"the second {second.at_s - first.at_s:.2f} s later",
    )
    desk.equal("connections", len(desk.network.connections), 1)


@case("NM05", connections=2)
async def echoes_lost(desk: Desk) -> None:
    """Three echoes without an answer end the link; payments keep their own timers."""
    first = desk.network.connections[0]
    settings = desk.network.settings

    async def deaf(exchange: Exchange) -> None:
        if exchange.connection is not first:
            desk.network.play(exchange)

    desk.network.on(MANAGEMENT, deaf, times=None, fits=lambda fields: fields[70] == ECHO)
    within_s = (
        desk.network.dialect.policy.echo_misses_max
        * (settings.echo_idle_s + settings.echo_timeout_s)
        + 10
    )
    await desk.network.event("closed", within_s=within_s)
    echoes = [line for line in _asked(desk.network, ECHO) if line.connection == first.number]
    desk.equal(
        "echoes that it sent before", len(echoes), desk.network.dialect.policy.echo_misses_max
    )
    await desk.logged("link_down", f'"{desk.network.name}"', "echoes unanswered")
    desk.equal("a sale meanwhile", (await desk.pay()).status, "succeeded")
    await desk.network.signed_on(2)
    desk.saw("the link comes back")


@case("NM06", alone=True)
async def peer_echo(desk: Desk) -> None:
    """The network asks whether we are there, in the middle of traffic."""
    (connection,) = desk.network.connections
    async with trio.open_nursery() as load:
        load.start_soon(desk.many, 40)
        await desk.network.hear(REQUESTS, 5)
        for _ in range(5):
            sent, answer, seconds = await manage(desk, connection, ECHO)
            desk.equal("DE 39", answer.fields[39], "00")
            desk.check(
                that=all(answer.fields.get(de) == sent[de] for de in (7, 11, 70)),
                what="DE 7, 11 and 70 come back",
            )
            desk.check(that=seconds < ANSWERED_WITHIN_S, what=f"after {seconds * 1e3:.0f} ms")


@case("NM07")
async def sign_off_in_traffic(desk: Desk) -> None:
    """The network signs off with fifty payments under way."""
    (connection,) = desk.network.connections
    open_ones: list[Exchange] = []

    async def hold(exchange: Exchange) -> None:
        open_ones.append(exchange)

    desk.network.on(REQUESTS, hold, times=50)
    async with trio.open_nursery() as load:
        load.start_soon(desk.many, 50)
        await desk.network.hear(REQUESTS, 50)
        _, answer, _ = await manage(desk, connection, SIGN_OFF)
        desk.equal("DE 39 of the 0810", answer.fields[39], "00")
        await desk.refused(desk.pay(), "network_unavailable")
        desk.equal("messages after the sign-off", len(desk.network.heard(REQUESTS)), 50)
        for exchange in open_ones[:25]:
            exchange.answer(note="late, after the sign-off")
    told = [answer.status for answer in desk.told]
    desk.equal("told succeeded", told.count("succeeded"), 25)
    desk.equal("told in doubt", told.count("pending_verification"), 25)


@case("NM08", alone=True)
async def graceful_stop(desk: Desk) -> None:
    """The switch is asked to stop while answers are under way."""
    desk.network.on(REQUESTS, delayed(0.4), times=20)
    old = desk.stack.refresh().processes["switch-0"]
    async with trio.open_nursery() as load:
        load.start_soon(desk.many, 20)
        await desk.network.hear(REQUESTS, 20)
        os.kill(old, signal.SIGTERM)
        await desk.network.hear(MANAGEMENT, fits=lambda fields: fields[70] == SIGN_OFF)
    told = [answer.status for answer in desk.told]
    desk.equal("all twenty were answered", told, ["succeeded"] * 20)
    signed_off = _asked(desk.network, SIGN_OFF)[0]
    last = max(line.at_s for line in desk.network.trace if line.mti == "0210")
    desk.check(that=signed_off.at_s >= last, what="it signs off behind the last answer")


@case("NM09")
async def unknown_function(desk: Desk) -> None:
    """An 0800 whose DE 70 nobody knows."""
    (connection,) = desk.network.connections
    sent, answer, _ = await manage(desk, connection, "999")
    desk.check(that=answer.fields[39] in {"40", "12"}, what=f"DE 39 is {answer.fields[39]}")
    desk.equal("DE 70", answer.fields[70], sent[70])
    desk.equal("the session stays: a sale is", (await desk.pay()).status, "succeeded")
    desk.equal("connections", desk.network.connections, [connection])


SETTLES_SQL: Final = """
SELECT o.settles_on, count(*) FROM outcomes AS o
JOIN attempts AS a ON a.intent_id = o.intent_id AND a.id = o.attempt_id
WHERE a.network = %s AND o.result = 'approved' GROUP BY 1 ORDER BY 1
"""


@case("NM10")
async def cutover(desk: Desk) -> None:
    """The network begins its next business day while payments run."""
    (connection,) = desk.network.connections
    today = date.fromisoformat(desk.network.issuer.settlement_date)
    tomorrow = today + timedelta(days=1)
    await desk.many(5)
    desk.network.issuer.cut_over(tomorrow)
    _, answer, _ = await manage(desk, connection, CUTOVER, {15: f"{tomorrow:%m%d}"})
    desk.equal("DE 39 of the 0810", answer.fields[39], "00")
    await desk.many(7)
    days = await desk.ledger.rows(SETTLES_SQL, (desk.network.name,))
    desk.equal("approvals by date", [tuple(row) for row in days], [(today, 5), (tomorrow, 7)])


@case("NM11")
async def keep_alives(desk: Desk) -> None:
    """A flood of frames without content."""
    (connection,) = desk.network.connections
    allowed = desk.network.settings.keep_alives_per_minute_max
    connection.send_raw(b"\0\0" * 3, "three zero-length frames")
    desk.equal("a sale", (await desk.pay()).status, "succeeded")
    connection.send_raw(b"\0\0" * (allowed + 1), "a flood of zero-length frames")
    await desk.network.event("closed: by the acquirer")
    echoed = sum(
        "zero-length" in line.note
        and line.direction == "event"
        and not line.note.startswith("sent")
        for line in desk.network.trace
    )
    desk.equal("frames echoed", echoed, 0)
    await desk.logged("link_down", f'"{desk.network.name}"', "zero-length frames")
    await desk.recovers()
