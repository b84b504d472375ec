"""MT: an answer belongs to its question and to nothing else."""

from __future__ import annotations

import json
import os
import sys
from typing import Final

import trio

from certification.desk import CVC, Desk
from certification.handlers import altered, withhold
from certification.network import Exchange
from certification.registry import case
from certification.suites.reversals import in_doubt
from certification.vocabulary import INQUIRIES, REQUESTS, REVERSALS
from certification.wrapping import CORE_COUNT, LINK_COUNT
from network_sim.decisions import Ruling
from turnout_client import Card

PERMUTED: Final = 300
SALES_BESIDE: Final = 100  # through the whole of the switch


@case("MT01", connections=2)
async def out_of_order(desk: Desk) -> None:
    """Answers come in any order, on two connections."""
    waiting: list[Exchange] = []

    async def collect(exchange: Exchange) -> None:
        waiting.append(exchange)
        if len(waiting) == PERMUTED:
            desk.random.shuffle(waiting)
            for each in waiting:
                each.answer(Ruling("51") if int(each.fields[11]) % 3 == 0 else None)

    desk.network.on(REQUESTS, collect, times=PERMUTED)
    answers = await desk.many(PERMUTED)
    expected = {
        line.fields[37]: line.fields[39] for line in desk.network.trace if line.mti == "0210"
    }
    attempts = {attempt.transaction: attempt for attempt in await desk.attempts()}
    wrong = [
        answer.id for answer in answers if answer.response_code != expected[attempts[answer.id].rrn]
    ]
    desk.equal("payments with another's answer", wrong, [])
    desk.equal("answered", len(answers), PERMUTED)


@case("MT02")
async def wrong_stan(desk: Desk) -> None:
    """The answer carries another STAN: it answers nothing."""

    async def skewed(exchange: Exchange) -> None:
        stan = f"{(int(exchange.fields[11]) + 1) % 1_000_000:06d}"
        exchange.answer(changes={11: stan}, note="DE 11 altered")

    before = await desk.metrics()
    desk.network.on(REQUESTS, skewed)
    answer = await in_doubt(desk)
    after = await desk.metrics()
    name = "turnout_switch_messages_total"
    labels = {"network": desk.network.name, "fate": "unmatched"}
    desk.equal(
        "unmatched answers counted", after.total(name, **labels) - before.total(name, **labels), 1
    )
    await desk.ends(answer, "succeeded", intent="succeeded")


@case("MT03")
async def wrong_echo(desk: Desk) -> None:
    """The STAN is right, and another element is not what was asked."""
    skewed = ({37: "ZZZZZZZZZZZZ"}, {4: "000000009999"}, {42: "SOMEBODY ELSE  "})
    for changes in skewed:
        desk.network.on(REQUESTS, altered(changes, f"DE {next(iter(changes))} altered"))
        answer = await in_doubt(desk)
        await desk.ends(answer, "succeeded", intent="succeeded")
        desk.network.clear()
    await desk.logged("answer_in_doubt", f'"{desk.network.name}"')
    desk.equal("inquiries answered", len(desk.network.heard(INQUIRIES)) >= len(skewed), True)


@case("MT04")
async def two_answers(desk: Desk) -> None:
    """The same answer twice; then one that contradicts the first."""

    async def twice(exchange: Exchange) -> None:
        good = exchange.decide()
        exchange.send(good)
        exchange.send(good, note="again")

    async def contradicts(exchange: Exchange) -> None:
        good = exchange.decide()
        exchange.send(good)
        await trio.sleep(0.2)
        exchange.send({**good, 39: "05"}, note="contradicts")

    desk.network.on(REQUESTS, twice)
    first = await desk.pay()
    desk.equal("the merchant hears", first.status, "succeeded")
    desk.network.on(REQUESTS, contradicts)
    second = await desk.pay()
    desk.equal("the merchant hears", second.status, "succeeded")
    await desk.logged("second_answer_differs", f'"{desk.network.name}"')
    movement = await desk.movement(second.id)
    desk.equal("the first answer stands", movement.status, "succeeded")
    desk.equal("reversals", len(desk.network.heard(REVERSALS)), 0)


@case("MT05")
async def unsolicited(desk: Desk) -> None:
    """An approval that nobody asked for."""
    answer = await desk.pay()
    desk.equal("a sale", answer.status, "succeeded")
    good = next(line for line in desk.network.trace if line.mti == "0210").fields
    (connection,) = desk.network.connections
    before = await desk.metrics()
    stray = {**good, 11: "987654", 37: f"0{'Y' * 11}", 38: "777777"}
    connection.send(stray, note="nobody asked for this")
    name = "turnout_switch_messages_total"
    labels = {"network": desk.network.name, "fate": "unmatched"}

    async def counted() -> bool:
        after = await desk.metrics()
        return after.total(name, **labels) - before.total(name, **labels) == 1

    await desk.until("it is counted as unmatched", counted)

    async def excepted() -> bool:
        return bool(await desk.ledger.exceptions(desk.network.name))

    await desk.until("an exception is opened", excepted)
    desk.equal("attempts in the ledger", len(await desk.attempts()), 1)
    desk.equal("the session stays: a sale is", (await desk.pay()).status, "succeeded")


@case("MT06")
async def class_confusion(desk: Desk) -> None:
    """The answer to a reversal with the numbers of an open request."""

    async def confused(exchange: Exchange) -> None:
        good = exchange.decide(Ruling("51"))
        exchange.send({**good, 0: "0410", 39: "00"}, note="of another class")
        await trio.sleep(0.3)
        exchange.send(good)

    desk.network.on(REQUESTS, confused)
    answer = await desk.pay()
    desk.equal("the merchant hears", answer.status, "failed")
    desk.equal("response code", answer.response_code, "51")


@case("MT07")
async def stan_wrap(desk: Desk) -> None:
    """More messages than there are STANs: a window of half an hour on the core; then on a link."""
    answers = await desk.many(SALES_BESIDE)
    desk.equal("sales", {answer.status for answer in answers}, {"succeeded"})
    sale = desk.network.dialect.encode(dict(desk.network.heard(REQUESTS)[-1].fields))
    command = [sys.executable, "-m", "certification.wrapping", sale.hex()]
    command.append(str(desk.random.randrange(1 << 31)))
    found = json.loads((await trio.run_process(command, capture_stdout=True)).stdout)
    desk.equal(f"clashes among {CORE_COUNT} messages on the core", found["core_clashes"], 0)
    desk.equal("answers taken for another's", found["core_wrong"], 0)
    desk.equal("messages in flight at once over the link", found["link_in_flight_max"], LINK_COUNT)
    desk.equal("that ended otherwise than by their own answer", found["link_wrong"], 0)
    desk.saw(f"core: {found['core_s']:.0f} s, link: {found['link_s']:.0f} s")


@case("MT08", connections=2)
async def other_connection(desk: Desk) -> None:
    """The answer comes back on the other connection; this dialect allows that."""

    async def elsewhere(exchange: Exchange) -> None:
        others = [each for each in desk.network.connections if each is not exchange.connection]
        exchange.answer(connection=others[0], note="on the other connection")

    desk.network.on(REQUESTS, elsewhere)
    answer = await desk.pay()
    desk.check(
        that=desk.network.dialect.policy.answers_on_other_links, what="the dialect allows it"
    )
    desk.equal("the merchant hears", answer.status, "succeeded")


async def _same_key(desk: Desk, times: int) -> list[str]:
    intent = await desk.intent()
    card = Card(number=desk.pan(), exp_month=12, exp_year=2030, cvc=CVC)
    ciphertext = await desk.shop.seal(intent, card)
    key = os.urandom(12).hex()
    ids: list[str] = []

    async def one() -> None:
        answer = await desk.shop.charge(intent, ciphertext, idempotency_key=key)
        ids.append(f"{answer.id} {answer.status}")

    async with trio.open_nursery() as nursery:
        for _ in range(times):
            nursery.start_soon(one)
    return ids


@case("MT09")
async def merchant_retry(desk: Desk) -> None:
    """One key, twenty requests at once."""

    async def slowly(exchange: Exchange) -> None:
        answer = exchange.decide()
        await trio.sleep(0.3)
        exchange.send(answer)

    desk.network.on(REQUESTS, slowly)
    ids = await _same_key(desk, 20)
    desk.equal("answers", len(ids), 20)
    desk.equal("different answers", len(set(ids)), 1)
    desk.equal("messages", len(desk.network.heard(REQUESTS)), 1)


@case("MT10")
async def key_reused(desk: Desk) -> None:
    """One key for two different requests."""
    key = os.urandom(12).hex()
    first = await desk.intent(1000)
    desk.equal("the first", (await desk.charge(first, key=key)).status, "succeeded")
    second = await desk.intent(2000)
    await desk.refused(desk.charge(second, key=key), "idempotency_key_reused")
    desk.equal("messages", len(desk.network.heard(REQUESTS)), 1)


@case("MT11")
async def network_duplicate(desk: Desk) -> None:
    """The network gets the very same message again, and then one that only looks like it."""
    await desk.pay()
    (asked,) = desk.network.heard(REQUESTS)
    before = len(desk.network.entries)
    good = next(line for line in desk.network.trace if line.mti == "0210").fields
    again = desk.network.decide(asked.fields)
    desk.equal("the answer to the repeat", again, dict(good))
    other = desk.network.decide({**asked.fields, 4: "000000009999"})
    desk.equal("another body under the same numbers", other[39], "94")
    desk.equal("decisions recorded for them", len(desk.network.entries) - before, 0)
    desk.network.on(REQUESTS, withhold)
