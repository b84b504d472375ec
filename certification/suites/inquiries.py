"""IQ: the network is asked before anything is undone."""

from __future__ import annotations

import os
import signal

import trio

from certification.desk import Desk
from certification.handlers import code, drop, withhold
from certification.network import Exchange
from certification.registry import case
from certification.suites.captures import authorized
from certification.suites.reversals import in_doubt, original_data
from certification.vocabulary import ANSWERS, CAPTURES, INQUIRIES, REQUESTS, REVERSALS
from network_sim.decisions import Ruling


def lost(ruling: Ruling | None = None) -> object:
    """Decide, and lose the answer."""

    async def handler(exchange: Exchange) -> None:
        exchange.decide(ruling)

    return handler


async def _outcomes_once(desk: Desk) -> None:
    asked = [attempt for attempt in await desk.attempts() if attempt.kind == "request"]
    desk.equal("requests", len(asked), 1)
    desk.check(that=bool(asked[0].resolution), what=f"resolved as {asked[0].resolution}")


@case("IQ01")
async def approved(desk: Desk) -> None:
    """The answer was lost, and the network says what it was."""
    desk.network.on(REQUESTS, withhold)
    answer = await in_doubt(desk)
    (inquiry, *_) = await desk.network.hear(INQUIRIES)
    (asked,) = desk.network.heard(REQUESTS)
    desk.equal("DE 90", inquiry.fields[90], original_data(asked.fields))
    desk.equal("DE 37 is the original's", inquiry.fields[37], asked.fields[37])
    desk.check(that=inquiry.fields[11] != asked.fields[11], what="its STAN is its own")
    await desk.ends(answer, "succeeded", intent="succeeded")
    desk.equal("reversals", len(desk.network.heard(REVERSALS)), 0)
    await _outcomes_once(desk)


@case("IQ02")
async def declined(desk: Desk) -> None:
    """The lost answer was a decline."""
    desk.network.on(REQUESTS, lost(Ruling("51")))  # type: ignore[arg-type]
    answer = await in_doubt(desk)
    movement = await desk.ends(answer, "failed", intent="failed")
    desk.equal("decline code", movement.decline_code, "insufficient_funds")
    desk.equal("reversals", len(desk.network.heard(REVERSALS)), 0)
    await _outcomes_once(desk)


@case("IQ03", messages="dual")
async def partial(desk: Desk) -> None:
    """The lost answer approved a part: adopted if the merchant takes parts, else undone."""
    desk.network.on(REQUESTS, lost(Ruling("10", 600)), times=2)  # type: ignore[arg-type]
    wanted = await desk.authorize(1000, allow_partial_authorization=True)
    movement = await desk.ends(wanted, "succeeded", intent="authorized")
    desk.equal("approved", movement.amount_minor, 600)
    desk.equal("reversals", len(desk.network.heard(REVERSALS)), 0)
    unwanted = await desk.authorize(1000)
    await desk.ends(unwanted, "reversed", intent="failed")
    (reversal,) = desk.network.heard(REVERSALS)
    desk.equal("DE 4 of the reversal", reversal.fields[4], "000000000600")


@case("IQ04")
async def not_found(desk: Desk) -> None:
    """The network has never heard of it: that is no answer, so it is undone in the end."""

    async def overtaken(exchange: Exchange) -> None:
        await desk.network.hear("0420")
        await trio.sleep(0.2)
        exchange.answer(note="late")

    desk.network.on(REQUESTS, overtaken)
    answer = await in_doubt(desk)
    (reversal,) = await desk.network.hear("0420")
    told = [line for line in desk.network.trace if line.mti == "0610"]
    desk.check(that=len(told) >= 2, what=f"{len(told)} inquiries were answered")
    desk.equal("all of them", {line.fields[39] for line in told}, {"25"})
    desk.check(that=told[-1].at_s < reversal.at_s, what="the reversal left behind them")
    await desk.ends(answer, "reversed", intent="failed")

    async def answered() -> bool:
        return any(line.mti in ANSWERS.split() for line in desk.network.trace)

    await desk.until("the late request was answered", answered)
    late = next(line for line in desk.network.trace if line.mti in ANSWERS.split())
    desk.equal("with", late.fields[39], "05")


@case("IQ05")
async def unanswered(desk: Desk) -> None:
    """The network is silent to inquiries, or cannot say."""
    desk.network.on(REQUESTS, withhold)
    desk.network.on(INQUIRIES, drop, times=1)
    desk.network.on(INQUIRIES, code("91"), times=None)
    answer = await in_doubt(desk)
    (reversal,) = await desk.network.hear("0420")
    inquiries = desk.network.heard(INQUIRIES)
    desk.check(that=len(inquiries) >= 2, what=f"asked {len(inquiries)} times")
    desk.check(that=inquiries[-1].at_s < reversal.at_s, what="and reversed behind that")
    await desk.ends(answer, "reversed", intent="failed")


@case("IQ06")
async def overtaking(desk: Desk) -> None:
    """The inquiry is there before what it asks about."""

    async def overtaken(exchange: Exchange) -> None:
        await desk.network.hear(INQUIRIES)
        await trio.sleep(0.05)
        exchange.answer(note="behind its inquiry")

    desk.network.on(REQUESTS, overtaken)
    answer = await in_doubt(desk)
    await desk.ends(answer, "succeeded", intent="succeeded")
    first = next(line for line in desk.network.trace if line.mti == "0610")
    desk.equal("the inquiry that overtook was told", first.fields[39], "25")
    desk.equal("reversals", len(desk.network.heard(REVERSALS)), 0)


@case("IQ07", alone=True, connections=1, stack={"switch.processes": "2"})
async def takeover(desk: Desk) -> None:
    """The switch that owns the doubt is killed; there are two."""
    await desk.network.signed_on(2)
    desk.network.on(REQUESTS, withhold)
    quiet = desk.network.on(INQUIRIES, drop, times=None)
    answer = await in_doubt(desk)
    (asked,) = [attempt for attempt in await desk.attempts() if attempt.kind == "request"]
    rows = await desk.ledger.rows("SELECT owner FROM attempts WHERE id = %s", (asked.attempt,))
    owner = str(rows[0][0])
    processes = desk.stack.refresh().processes
    name = owner if owner in processes else f"switch-{owner[-1]}"
    os.kill(processes[name], signal.SIGKILL)
    quiet.left = 0
    await desk.ends(answer, "succeeded", within_s=90)
    await _outcomes_once(desk)


@case("IQ08", messages="dual")
async def refund_and_capture(desk: Desk) -> None:
    """A refund in doubt is asked about and undone; a capture in doubt is repeated."""
    held = await authorized(desk)
    desk.network.on(CAPTURES, drop, times=1)
    captured = await desk.capture(held.payment_intent)
    await desk.ends(captured, "succeeded", intent="succeeded")
    desk.equal("captures", [line.mti for line in desk.network.heard(CAPTURES)], ["0220", "0221"])
    desk.equal("reversals of the capture", len(desk.network.heard(REVERSALS)), 0)
    desk.network.on("0200", drop)
    refund = await desk.refund(held.payment_intent, 400)
    desk.equal("the refund is told as", refund.status, "pending_verification")
    movement = await desk.movement(refund.id)
    desk.equal("reserved meanwhile", movement.refund_pending_minor, 400)
    await desk.refused(desk.refund(held.payment_intent, 700), "amount_exceeds_refundable")
    await desk.network.hear(INQUIRIES)
    await desk.network.hear("0420")
    movement = await desk.ends(refund, "reversed", intent="succeeded")
    desk.equal("reserved at last", movement.refund_pending_minor, 0)
