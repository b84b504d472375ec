"""AU: what an issuer says, and what the merchant hears of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from certification.desk import Desk
from certification.handlers import code
from certification.network import Exchange
from certification.registry import case
from switch.iso8583.private import decode as decode_private
from switch.iso8583.private import encode as encode_private

REQUESTS: Final = "0100 0200"
REVERSALS: Final = "0400 0401 0420 0421"
DS_TRANSACTION: Final = "f25084f0-5b16-4c0a-ae5d-b24808a95e4b"
QUIET_S: Final = 0.5  # in which a message that must not be sent would have been


async def no_reversal(desk: Desk) -> None:
    """Nothing was reversed, nor is about to be."""
    await trio.sleep(QUIET_S)
    desk.equal("reversals sent", len(desk.network.heard(REVERSALS)), 0)


@case("AU01")
async def approval(desk: Desk) -> None:
    """A sale that the issuer approves."""
    answer = await desk.pay(1000)
    desk.equal("the merchant hears", answer.status, "succeeded")
    desk.equal("response code", answer.response_code, "00")
    (sale,) = desk.network.heard(REQUESTS)
    desk.equal("DE 4", sale.fields[4], "000000001000")
    desk.equal("DE 49", sale.fields[49], "840")
    (answered,) = [line for line in desk.network.trace if line.mti in {"0110", "0210"}]
    desk.equal("approval code", answer.approval_code, answered.fields[38])


# DE 39, what the merchant hears, and how often the message may be sent.
DECLINES: Final = (
    ("AU02", "05", "generic_decline", "use_other_card", 1),
    ("AU03", "14", "incorrect_number", "use_other_card", 1),
    ("AU04", "41", "lost_card", "do_not_retry", 1),
    ("AU05", "51", "insufficient_funds", "retry_later", 1),
    ("AU06", "54", "expired_card", "use_other_card", 1),
    ("AU07", "57", "not_permitted", "do_not_retry", 1),
    ("AU08", "59", "suspected_fraud", "retry_later", 1),
    ("AU09", "1A", "authentication_required", "authenticate", 1),
    ("AU10", "30", "processing_error", "do_not_retry", 1),
    ("AU11", "91", "issuer_unavailable", "retry_later", 2),
    ("AU12", "96", "network_malfunction", "retry_later", 2),
)


def _decline(
    response_code: str, decline: str, advice: str, sends_max: int
) -> Callable[[Desk], Awaitable[None]]:
    async def play(desk: Desk) -> None:
        desk.network.on(REQUESTS, code(response_code), times=None)
        answer = await desk.pay()
        desk.equal("the merchant hears", answer.status, "failed")
        desk.equal("response code", answer.response_code, response_code)
        desk.equal("decline code", answer.decline_code, decline)
        desk.equal("advice", answer.advice, advice)
        await no_reversal(desk)
        sent = desk.network.heard(REQUESTS)
        desk.check(that=1 <= len(sent) <= sends_max, what=f"sent {len(sent)} of {sends_max} times")
        stans = {line.fields[11] for line in sent}
        desk.equal("different STANs", len(stans), len(sent))
        if response_code == "30":
            await desk.logged("alarming_response_code")

    return play


for _id, _code, _declined, _advice, _sends in DECLINES:
    case(_id)(_decline(_code, _declined, _advice, _sends))


@case("AU13", messages="dual")
async def partial_wanted(desk: Desk) -> None:
    """The issuer has only a part, and the merchant takes parts."""
    desk.network.on(REQUESTS, code("10", approved=600))
    answer = await desk.authorize(1000, allow_partial_authorization=True)
    desk.equal("the merchant hears", answer.status, "succeeded")
    desk.equal("approved", answer.amount_in_cents, 600)
    intent = await desk.shop.retrieve(answer.payment_intent)
    desk.equal("can be captured", intent.amount_capturable, 600)
    await desk.refused(desk.capture(intent.id, 601), "amount_exceeds_capturable")
    await no_reversal(desk)


@case("AU14")
async def partial_not_wanted(desk: Desk) -> None:
    """The issuer has only a part, and the merchant wants the whole or nothing."""
    desk.network.on(REQUESTS, code("10", approved=600))
    answer = await desk.pay(1000)
    desk.check(that=answer.status != "succeeded", what=f"the merchant hears {answer.status}")
    (reversal,) = await desk.network.hear("0420")
    desk.equal("DE 4 of the 0420", reversal.fields[4], "000000000600")
    await desk.ends(answer, "reversed", intent="failed")


@case("AU15")
async def unknown_code(desk: Desk) -> None:
    """A response code that nobody has heard of."""
    desk.network.on(REQUESTS, code("ZZ"), times=None)
    answer = await desk.pay()
    desk.equal("the merchant hears", answer.status, "failed")
    desk.equal("decline code", answer.decline_code, "generic_decline")
    await desk.logged("alarming_response_code")
    await no_reversal(desk)
    desk.equal("sent", len(desk.network.heard(REQUESTS)), 1)


@case("AU16", messages="dual")
async def verification(desk: Desk) -> None:
    """Is the card good? No money is asked for."""
    intent = await desk.intent()
    answer = await desk.verify(intent)
    desk.equal("the merchant hears", answer.status, "succeeded")
    (asked,) = desk.network.heard("0100")
    desk.equal("DE 3", asked.fields[3][:2], "38")
    desk.equal("DE 4", asked.fields[4], "000000000000")
    intent = await desk.shop.retrieve(intent.id)
    desk.equal("the intent stays", intent.status, "created")
    await desk.refused(desk.capture(intent.id), "not_authorized")


@case("AU17")
async def three_d_secure(desk: Desk) -> None:
    """What 3-D Secure proves, through our packing and a stranger's; the API takes none of it yet.

    A sale of this case's own is given the elements, since no request of a merchant carries them.
    """
    desk.equal("a sale", (await desk.pay()).status, "succeeded")
    (sale,) = desk.network.heard(REQUESTS)
    proof = {"42": "05", "43": "AAABBEg0VhI0VniQEjRWAAAAAAA=", "66": "2.2.0", "68": DS_TRANSACTION}
    fields = dict(sale.fields) | {2: "4242424242424242", 48: encode_private(proof)}
    packed = desk.network.dialect.encode(dict(fields))
    theirs = bytes(desk.network.codec.encode(dict(fields)))
    desk.check(that=theirs == packed, what="packed alike by pyiso8583")
    arrived = desk.network.codec.decode(packed)
    desk.equal("DE 48", decode_private(arrived[48]), proof)
    desk.saw("the API takes no 3-D Secure data: held to the codec alone")


@case("AU18")
async def pan_lengths(desk: Desk) -> None:
    """The longest and a short card number: odd numbers of digits, packed two to a byte."""
    for digits in (19, 13):
        pan = desk.pan(digits)
        answer = await desk.pay(pan=pan)
        desk.equal(f"{digits} digits: the merchant hears", answer.status, "succeeded")
        sale = desk.network.heard(REQUESTS)[-1]
        desk.check(that=sale.fields[2] == pan, what=f"DE 2 arrived as {digits} digits")


@case("AU19")
async def currencies(desk: Desk) -> None:
    """Amounts are in minor units whatever the exponent, and the code is numeric."""
    for currency, amount, numeric in (
        ("jpy", 500, "392"),
        ("kwd", 12345, "414"),
        ("eur", 1, "978"),
    ):
        answer = await desk.pay(amount, currency)
        desk.equal(f"{currency}: the merchant hears", answer.status, "succeeded")
        sale = desk.network.heard(REQUESTS)[-1]
        desk.equal(f"{currency}: DE 4", sale.fields[4], f"{amount:012d}")
        desk.equal(f"{currency}: DE 49", sale.fields[49], numeric)


@case("AU20")
async def wait_code(desk: Desk) -> None:
    """The network says "in progress" first: the time starts over, once."""
    deadline_s = desk.network.settings.response_deadline_s

    async def later(exchange: Exchange) -> None:
        good = exchange.decide()
        await trio.sleep(0.6 * deadline_s)
        exchange.send({**good, 39: "09"}, note="in progress")
        await trio.sleep(0.7 * deadline_s)
        exchange.send(good, note="after the first deadline, within the second")

    desk.network.on(REQUESTS, later)
    answer = await desk.pay()
    desk.equal("the merchant hears", answer.status, "succeeded")
    await no_reversal(desk)


@case("AU21")
async def edges(desk: Desk) -> None:
    """Nothing, and the most that twelve digits hold."""
    await desk.refused(desk.pay(0), "amount_out_of_range")
    desk.equal("sent", len(desk.network.heard(REQUESTS)), 0)
    answer = await desk.pay(999_999_999_999)
    desk.equal("the merchant hears", answer.status, "succeeded")
    desk.equal("DE 4", desk.network.heard(REQUESTS)[0].fields[4], "999999999999")
