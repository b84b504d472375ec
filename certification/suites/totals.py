"""RC: both sides count the same, or somebody is told."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from certification.desk import Desk
from certification.handlers import altered
from certification.registry import case
from certification.suites.sessions import manage
from certification.trace import Line
from certification.vocabulary import CUTOVER

RECONCILIATION: Final = "0500"
DEBITS, CREDITS, DEBITS_SUM, CREDITS_SUM, NET = 76, 74, 88, 86, 97
# A cutover waits for the day's doubts to be resolved before it compares.
COMPARED_WITHIN_S: Final = 90.0


async def day_of_business(desk: Desk) -> tuple[str, Line]:
    """Three sales and a refund, then the next day; the date, and the 0500 about it."""
    day = date.fromisoformat(desk.network.issuer.settlement_date)
    answers = [await desk.pay(amount) for amount in (1000, 2000, 3000)]
    desk.equal("sales", {answer.status for answer in answers}, {"succeeded"})
    refund = await desk.refund(answers[0].payment_intent, 400)
    desk.equal("a refund", refund.status, "succeeded")
    tomorrow = day + timedelta(days=1)
    desk.network.issuer.cut_over(tomorrow)
    (connection,) = desk.network.connections
    _, told, _ = await manage(desk, connection, CUTOVER, {15: f"{tomorrow:%m%d}"})
    desk.equal("DE 39 of the 0810", told.fields[39], "00")
    (asked, *_) = await desk.network.hear(RECONCILIATION, within_s=COMPARED_WITHIN_S)
    desk.equal("DE 15", asked.fields[15], f"{day:%m%d}")
    desk.equal("DE 50", asked.fields[50], "840")
    desk.equal("sales counted", int(asked.fields[DEBITS]), 3)
    desk.equal("and summed", int(asked.fields[DEBITS_SUM]), 6000)
    desk.equal("refunds counted", int(asked.fields[CREDITS]), 1)
    desk.equal("and summed", int(asked.fields[CREDITS_SUM]), 400)
    return f"{day:%m%d}", asked


@case("RC01")
async def totals_agree(desk: Desk) -> None:
    """What we count is what the network counts."""
    await day_of_business(desk)

    async def answered() -> bool:
        return any(line.mti == "0510" for line in desk.network.trace)

    await desk.until("the 0500 is answered", answered)
    told = next(line for line in desk.network.trace if line.mti == "0510")
    desk.equal("DE 66", told.fields[66], "1")
    desk.equal("exceptions", await desk.ledger.exceptions(desk.network.name), [])


@case("RC02")
async def totals_differ(desk: Desk) -> None:
    """The network counts more than we do: an exception, and business goes on."""
    skewed = altered({66: "2", DEBITS_SUM: f"{6001:016d}"}, "a sum is altered")
    desk.network.on(RECONCILIATION, skewed, times=None)
    await day_of_business(desk)

    async def excepted() -> bool:
        return "totals_out_of_balance" in await desk.ledger.exceptions(desk.network.name)

    await desk.until("an exception is opened", excepted)
    desk.equal("then a sale", (await desk.pay()).status, "succeeded")
