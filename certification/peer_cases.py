"""The cases that an acquirer can be judged by from its messages alone."""

from __future__ import annotations

from itertools import count
from typing import Final

import trio

from certification.handlers import altered, code, drop, withhold
from certification.network import Exchange
from certification.peer_desk import PeerDesk
from certification.registry import peer_case
from certification.suites.reversals import original_data
from certification.trace import Line
from certification.vocabulary import (
    CAPTURES,
    ECHO,
    INQUIRIES,
    MANAGEMENT,
    REQUESTS,
    REVERSALS,
    SIGN_ON,
)

_stans: Final = count(950_001)
SETTLED_S: Final = 0.5  # in which an acquirer would do what it must not
MANDATORY: Final = (2, 3, 4, 7, 11, 12, 13, 14, 22, 32, 37, 41, 42, 49)
STARTS: Final = "0400 0420"


async def _reversed(desk: PeerDesk, request: Line) -> Line:
    """The request is undone, by a message of its own that names it whole."""
    (reversal, *_) = await desk.hear(STARTS)
    fields = reversal.fields
    desk.equal("DE 90", fields.get(90), original_data(request.fields))
    desk.equal("DE 37 is the original's", fields.get(37), request.fields[37])
    desk.check(that=fields.get(11) != request.fields[11], what="its STAN is its own")
    return reversal


@peer_case("TL01")
async def mutual_tls(desk: PeerDesk) -> None:
    """It came by TLS 1.3 with a certificate: it would not be here otherwise."""
    connection = desk.network.connections[0]
    desk.equal("protocol", connection.stream.tls.version(), "TLSv1.3")


@peer_case("NM01")
async def sign_on(desk: PeerDesk) -> None:
    """The first message of the connection was a sign-on."""
    first = next(line for line in desk.network.trace if line.direction == "in")
    desk.equal("first message", (first.mti, first.fields.get(70)), (MANAGEMENT, SIGN_ON))
    desk.check(that={7, 11} <= first.fields.keys(), what="DE 7 and 11 are there")


async def _manage(desk: PeerDesk, function: str) -> tuple[Line, str, float]:
    connection = desk.network.connections[0]
    stan = f"{next(_stans):06d}"
    began = trio.current_time()
    connection.send({0: MANAGEMENT, 7: "1122071000", 11: stan, 70: function})
    (answer,) = await desk.hear("0810", fits=lambda fields: fields.get(11) == stan)
    return answer, stan, answer.at_s - began


@peer_case("NM06")
async def peer_echo(desk: PeerDesk) -> None:
    """The network asks whether it is there."""
    answer, stan, seconds = await _manage(desk, ECHO)
    seen = tuple(answer.fields.get(de) for de in (7, 11, 39, 70))
    desk.equal("DE 7, 11, 39, 70", seen, ("1122071000", stan, "00", ECHO))
    desk.check(that=seconds < 1.0, what=f"after {seconds * 1e3:.0f} ms")


@peer_case("NM09")
async def unknown_function(desk: PeerDesk) -> None:
    """An 0800 that nobody knows is refused, and the session stays."""
    answer, _, _ = await _manage(desk, "999")
    desk.check(that=answer.fields.get(39) in {"12", "40"}, what=f"DE 39 {answer.fields.get(39)}")
    await trio.sleep(SETTLED_S)
    desk.check(that=bool(desk.network.connections), what="the session stays")


@peer_case("AU01")
async def approval(desk: PeerDesk) -> None:
    """A sale, complete, approved, and left alone; the next one has numbers of its own."""
    first = await desk.request()
    missing = [de for de in MANDATORY if de not in first.fields]
    desk.equal("mandatory elements missing", missing, [])
    desk.ask("send one sale of 20.00")
    second = (await desk.hear(REQUESTS, 2))[1]
    numbers = [(line.fields[7], line.fields[11]) for line in (first, second)]
    desk.check(that=numbers[0] != numbers[1], what="DE 7 and 11 differ")
    desk.check(that=first.fields[37] != second.fields[37], what="DE 37 differs")
    await desk.quiet(REVERSALS, seconds=SETTLED_S)


@peer_case("AU02")
async def decline(desk: PeerDesk) -> None:
    """A decline is an answer: nothing is reversed, nothing sent again."""
    desk.on(REQUESTS, code("05"))
    await desk.request()
    await desk.quiet(REVERSALS, seconds=SETTLED_S)
    desk.equal("requests", len(desk.heard(REQUESTS)), 1)


@peer_case("CP01")
async def capture(desk: PeerDesk) -> None:
    """An authorization is captured by an advice with its RRN and approval code."""
    desk.ask("authorize 10.00 (0100), then capture all of it (0220)")
    (asked, *_) = await desk.hear("0100")
    (advice, *_) = await desk.hear(CAPTURES)
    desk.equal("DE 37", advice.fields.get(37), asked.fields[37])
    answered = next(line for line in desk.network.trace[desk.began :] if line.mti == "0110")
    desk.equal("DE 38", advice.fields.get(38), answered.fields[38])


@peer_case("CP02")
async def capture_repeated(desk: PeerDesk) -> None:
    """A capture that is not answered is repeated, and never undone."""
    desk.on(CAPTURES, drop, times=2)
    desk.ask("authorize 10.00 (0100), then capture all of it (0220)")
    sent = await desk.hear(CAPTURES, 3)
    desk.equal("messages", [line.mti for line in sent[:3]], ["0220", "0221", "0221"])
    same = {tuple(line.fields.get(de) for de in (4, 7, 11, 37)) for line in sent}
    desk.equal("different DE 4, 7, 11, 37", len(same), 1)


@peer_case("RV01")
async def silence(desk: PeerDesk) -> None:
    """No answer: it is undone."""
    desk.on(REQUESTS, drop)
    request = await desk.request()
    await _reversed(desk, request)
    desk.equal("requests", len(desk.heard(REQUESTS)), 1)


@peer_case("RV02")
async def reversal_lost(desk: PeerDesk) -> None:
    """Two reversals are lost: the same message again, marked as a repeat."""
    desk.on(REQUESTS, drop)
    desk.on(INQUIRIES, drop, times=None)
    desk.on(REVERSALS, drop, times=2)
    await desk.request()
    sent = await desk.hear(REVERSALS, 3)
    desk.equal("messages", [line.mti for line in sent[:3]], ["0420", "0421", "0421"])
    same = {tuple(line.fields.get(de) for de in (4, 7, 11, 37, 90)) for line in sent}
    desk.equal("different DE 4, 7, 11, 37, 90", len(same), 1)
    acknowledged = len(desk.heard(REVERSALS))
    await trio.sleep(desk.wait_s / 2)
    desk.equal("repeats behind the 0430", len(desk.heard(REVERSALS)) - acknowledged, 0)


@peer_case("RV03b")
async def late_approval(desk: PeerDesk) -> None:
    """An approval behind the reversal does not end the reversal."""

    async def late(exchange: Exchange) -> None:
        answer = exchange.decide()
        await desk.hear(STARTS)
        exchange.send(answer, note="behind the reversal")

    desk.on(REQUESTS, late)
    desk.on(INQUIRIES, drop, times=None)
    desk.on(STARTS, drop)
    await desk.request()
    sent = await desk.hear(REVERSALS, 2)
    desk.equal("it is repeated all the same", sent[1].mti, "0421")


@peer_case("MT02")
async def wrong_stan(desk: PeerDesk) -> None:
    """An answer with another STAN answers nothing."""
    desk.on(REQUESTS, altered({11: "999999"}, "DE 11 altered"))
    desk.on(INQUIRIES, drop, times=None)
    await _reversed(desk, await desk.request())


@peer_case("MT03")
async def wrong_echo(desk: PeerDesk) -> None:
    """An answer about another amount is no answer."""
    desk.on(REQUESTS, altered({4: "000000009999"}, "DE 4 altered"))
    desk.on(INQUIRIES, drop, times=None)
    await _reversed(desk, await desk.request())


@peer_case("MT04")
async def two_answers(desk: PeerDesk) -> None:
    """The same answer twice does no harm."""

    async def twice(exchange: Exchange) -> None:
        good = exchange.decide()
        exchange.send(good)
        exchange.send(good, note="again")

    desk.on(REQUESTS, twice)
    await desk.request()
    await desk.quiet(REVERSALS, seconds=SETTLED_S)
    await _manage(desk, ECHO)
    desk.saw("the session stays")


@peer_case("MT05")
async def unsolicited(desk: PeerDesk) -> None:
    """An answer that nobody asked for is dropped."""
    connection = desk.network.connections[0]
    request = await desk.request()
    good = next(line for line in desk.network.trace[desk.began :] if line.direction == "out")
    connection.send({**good.fields, 11: "987654", 37: "ZZZZZZZZZZZZ"}, note="unsolicited")
    await _manage(desk, ECHO)
    desk.equal("requests", [line.fields[11] for line in desk.heard(REQUESTS)], [request.fields[11]])


@peer_case("MT06")
async def class_confusion(desk: PeerDesk) -> None:
    """The answer to a reversal is none to a request, whatever its numbers."""

    async def confused(exchange: Exchange) -> None:
        good = exchange.decide()
        exchange.send({**good, 0: "0410", 39: "00"}, note="of another class")

    desk.on(REQUESTS, confused)
    desk.on(INQUIRIES, drop, times=None)
    await _reversed(desk, await desk.request())


@peer_case("FR01")
async def split(desk: PeerDesk) -> None:
    """One byte in a segment."""

    async def crawl(exchange: Exchange) -> None:
        data = exchange.connection.pack(exchange.decide(), answering=exchange.frame)
        exchange.connection.send_slowly(data, 0.001, "one byte in a write")

    desk.on(REQUESTS, crawl)
    await desk.request()
    await desk.quiet(REVERSALS, seconds=min(desk.wait_s, 4 * SETTLED_S))


@peer_case("FR03")
async def cut(desk: PeerDesk) -> None:
    """Half an answer, and the connection is gone: it comes back and undoes the sale."""

    async def half(exchange: Exchange) -> None:
        data = exchange.connection.pack(exchange.decide(), answering=exchange.frame)
        exchange.connection.send_raw(data[: len(data) // 2], "half an answer")
        await trio.sleep(0.1)
        exchange.connection.reset()

    desk.on(REQUESTS, half)
    desk.on(INQUIRIES, drop, times=None)
    await _reversed(desk, await desk.request())


@peer_case("ML06")
async def code_missing(desk: PeerDesk) -> None:
    """An answer without DE 39 says nothing."""
    desk.on(REQUESTS, altered({39: None}, "without DE 39"))
    desk.on(INQUIRIES, drop, times=None)
    await _reversed(desk, await desk.request())


@peer_case("IQ05")
async def unanswered_inquiry(desk: PeerDesk) -> None:
    """Whether it asks or not: in the end the sale is undone, once."""
    desk.on(REQUESTS, withhold)
    desk.on(INQUIRIES, drop, times=None)
    request = await desk.request()
    await _reversed(desk, request)
    await trio.sleep(SETTLED_S)
    numbers = {line.fields.get(11) for line in desk.heard(REVERSALS)}
    desk.equal("different reversals", len(numbers), 1)
