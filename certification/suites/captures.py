"""CP: collecting what was held, and giving it back."""

from __future__ import annotations

from certification.desk import Desk
from certification.evidence import CaseFailedError
from certification.handlers import drop
from certification.registry import case
from certification.vocabulary import CAPTURES, REQUESTS
from network_sim.holds import Hold
from turnout_client import Transaction


async def authorized(desk: Desk, amount: int = 1000) -> Transaction:
    """A hold that stands."""
    answer = await desk.authorize(amount)
    desk.equal("the authorization", answer.status, "succeeded")
    desk.equal("its message", desk.network.heard(REQUESTS)[-1].mti, "0100")
    return answer


def hold_of_latest(desk: Desk) -> Hold:
    """The issuer's hold behind the latest authorization."""
    fields = desk.network.heard("0100")[-1].fields
    hold = desk.network.issuer.hold(fields[32], fields[37], fields[42])
    if hold is None:
        raise CaseFailedError("the issuer has no hold")
    return hold


@case("CP01", messages="dual")
async def capture(desk: Desk) -> None:
    """The whole of a hold, once."""
    held = await authorized(desk)
    answer = await desk.capture(held.payment_intent)
    desk.equal("the capture", answer.status, "succeeded")
    (advice,) = desk.network.heard(CAPTURES)
    asked = desk.network.heard("0100")[0].fields
    desk.equal("message", advice.mti, "0220")
    desk.equal("DE 38", advice.fields[38].strip(), held.approval_code)
    desk.equal("DE 37 is the authorization's", advice.fields[37], asked[37])
    desk.check(that=advice.fields[11] != asked[11], what="its STAN is its own")
    desk.equal("DE 4", advice.fields[4], "000000001000")
    hold = hold_of_latest(desk)
    desk.equal("the issuer has captured", (hold.captured, hold.held), (1000, 0))
    intent = await desk.shop.retrieve(held.payment_intent)
    desk.equal("intent", (intent.status, intent.amount_captured), ("succeeded", 1000))


@case("CP02", messages="dual")
async def capture_unanswered(desk: Desk) -> None:
    """Two of its messages are lost: it is repeated, never reversed."""
    held = await authorized(desk)
    desk.network.on(CAPTURES, drop, times=2)
    answer = await desk.capture(held.payment_intent)
    await desk.ends(answer, "succeeded", intent="succeeded")
    sent = desk.network.heard(CAPTURES)
    desk.equal("messages", [line.mti for line in sent], ["0220", "0221", "0221"])
    same = {tuple(line.fields[de] for de in (4, 7, 11, 37)) for line in sent}
    desk.equal("different DE 4, 7, 11, 37", len(same), 1)
    desk.equal("the issuer has captured", hold_of_latest(desk).captured, 1000)


@case("CP03", messages="dual")
async def too_much(desk: Desk) -> None:
    """More than was approved."""
    held = await authorized(desk)
    await desk.refused(desk.capture(held.payment_intent, 1001), "amount_exceeds_capturable")
    desk.equal("captures sent", len(desk.network.heard(CAPTURES)), 0)


@case("CP04", messages="dual")
async def partial_captures(desk: Desk) -> None:
    """Three parts; the third is the last and the rest is released."""
    held = await authorized(desk)
    intent = held.payment_intent
    for amount in (300, 400):
        answer = await desk.capture(intent, amount, final=False)
        desk.equal(f"a part of {amount}", answer.status, "succeeded")
    await desk.refused(desk.capture(intent, 301, final=False), "amount_exceeds_capturable")
    answer = await desk.capture(intent, 200)
    desk.equal("the last part", answer.status, "succeeded")
    await desk.network.hear("0420")
    state = await desk.shop.retrieve(intent)
    desk.equal(
        "captured, still capturable", (state.amount_captured, state.amount_capturable), (900, 0)
    )


@case("CP05", messages="dual")
async def refund(desk: Desk) -> None:
    """A part of what was captured goes back."""
    held = await authorized(desk)
    await desk.capture(held.payment_intent)
    answer = await desk.refund(held.payment_intent, 400)
    desk.equal("the refund", answer.status, "succeeded")
    sent = [line for line in desk.network.heard("0200") if line.fields[3].startswith("20")]
    desk.equal("refunds sent", len(sent), 1)
    asked = desk.network.heard("0100")[0].fields
    desk.check(that=sent[0].fields[37] != asked[37], what="its RRN is its own")
    desk.equal("DE 4", sent[0].fields[4], "000000000400")
    state = await desk.shop.retrieve(held.payment_intent)
    desk.equal("refunded", state.amount_refunded, 400)
    await desk.refused(desk.refund(held.payment_intent, 601), "amount_exceeds_refundable")


@case("CP06", messages="dual")
async def capture_of_voided(desk: Desk) -> None:
    """Nothing can be collected of what was released."""
    held = await authorized(desk)
    answer = await desk.cancel(held.payment_intent)
    await desk.ends(answer, "succeeded", intent="canceled")
    await desk.refused(desk.capture(held.payment_intent), "intent_canceled")
    desk.equal("captures sent", len(desk.network.heard(CAPTURES)), 0)
