"""RV: what is in doubt is undone, once, however often it takes to say so."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from typing import Final

import trio

from certification.desk import Desk
from certification.handlers import drop, withhold
from certification.network import Exchange
from certification.registry import case
from certification.suites.captures import authorized, hold_of_latest
from certification.trace import Line
from certification.vocabulary import ANSWERS, CANCELS, CAPTURES, INQUIRIES, REQUESTS, REVERSALS
from certification.witnesses import Attempt, still_open
from chassis.crash_points import AFTER_DECISION, BEFORE_DECISION, POINTS, arm, is_armed
from network_sim.decisions import Ruling
from turnout_client import Transaction

QUEUED: Final = 200  # reversals of the drain after an outage
LIVE_WITHIN_S: Final = 2.0  # beside the drain


def original_data(fields: Mapping[int, str]) -> str:
    """DE 90 of whatever speaks about this message, all five parts."""
    acquirer = fields[32].rjust(11, "0")
    forwarder = fields.get(33, "").rjust(11, "0")
    return f"{fields[0]}{fields[11]}{fields[7]}{acquirer}{forwarder}"


async def in_doubt(desk: Desk, amount: int = 1000) -> Transaction:
    """A sale whose outcome the merchant is not told."""
    answer = await desk.pay(amount)
    desk.equal("the merchant hears", answer.status, "pending_verification")
    return answer


def same_message(desk: Desk, lines: list[Line]) -> None:
    """All of these are one message and its repeats."""
    kinds = [line.mti for line in lines]
    desk.equal("message and repeats", kinds, ["0420"] + ["0421"] * (len(lines) - 1))
    same = {tuple(line.fields.get(de) for de in (4, 7, 11, 37, 90)) for line in lines}
    desk.equal("different DE 4, 7, 11, 37, 90", len(same), 1)


@case("RV01", both_policies=True)
async def silence(desk: Desk) -> None:
    """The request is lost: nobody knows, so it is undone."""
    desk.network.on(REQUESTS, drop)
    answer = await in_doubt(desk)
    (reversal,) = await desk.network.hear("0420")
    (asked,) = desk.network.heard(REQUESTS)
    desk.equal("DE 90", reversal.fields[90], original_data(asked.fields))
    desk.equal("DE 37 is the original's", reversal.fields[37], asked.fields[37])
    desk.equal("DE 4", reversal.fields[4], asked.fields[4])
    desk.check(that=reversal.fields[11] != asked.fields[11], what="its STAN is its own")
    desk.check(that=48 not in reversal.fields, what="it carries no CVC")
    asked_first = desk.network.settings.unknown_policy != "reverse"
    inquiries = len(desk.network.heard(INQUIRIES))
    desk.check(that=bool(inquiries) is asked_first, what=f"{inquiries} inquiries before it")
    await desk.ends(answer, "reversed", intent="failed")
    waited_s = reversal.at_s - asked.at_s
    deadline_s = desk.network.settings.response_deadline_s
    desk.check(that=waited_s >= 0.9 * deadline_s, what=f"sent {waited_s:.1f} s after the request")


@case("RV02", both_policies=True)
async def reversal_lost(desk: Desk) -> None:
    """Five reversals are lost; the sixth is acknowledged."""
    desk.network.on(REQUESTS, withhold)
    desk.network.on(INQUIRIES, drop, times=None)
    desk.network.on(REVERSALS, drop, times=5)
    answer = await in_doubt(desk)
    sent = await desk.network.hear(REVERSALS, 6, within_s=100)
    same_message(desk, sent[:6])
    await desk.ends(answer, "reversed", intent="failed")
    gaps = [later.at_s - earlier.at_s for earlier, later in pairwise(sent)]
    desk.check(that=gaps[-1] > gaps[0], what=f"backed off: {[round(gap, 1) for gap in gaps]}")


@case("RV03a")
async def late_approval_in_the_window(desk: Desk) -> None:
    """The answer comes when the deadline is over and nothing has been reversed."""
    deadline_s = desk.network.settings.response_deadline_s

    async def late(exchange: Exchange) -> None:
        answer = exchange.decide()
        await trio.sleep(1.15 * deadline_s)
        exchange.send(answer, note="late")

    desk.network.on(REQUESTS, late)
    desk.network.on(INQUIRIES, drop, times=None)
    answer = await in_doubt(desk)
    await desk.ends(answer, "succeeded", intent="succeeded")
    desk.equal("reversals", len(desk.network.heard(REVERSALS)), 0)


async def _answered_behind_the_reversal(desk: Desk, ruling: Ruling | None) -> None:
    async def late(exchange: Exchange) -> None:
        answer = exchange.decide(ruling)
        await desk.network.hear("0420")
        exchange.send(answer, note="behind the reversal")

    desk.network.on(REQUESTS, late)
    desk.network.on(INQUIRIES, drop, times=None)
    desk.network.on("0420", drop)  # so that the late answer is there first
    answer = await in_doubt(desk)
    await desk.network.hear("0421")
    await desk.ends(answer, "reversed", intent="failed")
    state = await desk.shop.retrieve(answer.payment_intent)
    desk.equal("the merchant sees", state.status, "failed")


@case("RV03b", both_policies=True)
async def late_approval_behind_the_reversal(desk: Desk) -> None:
    """The reversal stands, whatever comes behind it; the approval is kept for a person to see."""
    await _answered_behind_the_reversal(desk, None)

    async def stored() -> bool:
        return "late_approval" in await desk.ledger.exceptions(desk.network.name)

    await desk.until("the approval is stored as an exception", stored)


@case("RV04", both_policies=True)
async def late_decline(desk: Desk) -> None:
    """A decline behind the reversal does not take the reversal back."""
    await _answered_behind_the_reversal(desk, Ruling("51"))
    codes = [line.fields[39] for line in desk.network.trace if line.mti == "0430"]
    desk.check(that=bool(codes) and codes[-1] in {"21", "25", "00"}, what=f"0430 says {codes}")


@case("RV05", messages="dual")
async def partial_reversal(desk: Desk) -> None:
    """What a final capture leaves is released."""
    held = await authorized(desk)
    answer = await desk.capture(held.payment_intent, 400)
    desk.equal("the capture", answer.status, "succeeded")
    (release,) = await desk.network.hear("0420")
    desk.equal("DE 95: remains", release.fields[95][:12], "000000000400")
    (capture,) = desk.network.heard(CAPTURES)
    desk.check(that=capture.at_s < release.at_s, what="the capture left first")
    await desk.until("the issuer holds nothing more", _nothing_held(desk))
    desk.equal("and has captured", hold_of_latest(desk).captured, 400)


def _nothing_held(desk: Desk) -> Callable[[], Awaitable[bool]]:
    async def nothing() -> bool:
        return hold_of_latest(desk).held == 0

    return nothing


@case("RV06", messages="dual")
async def void(desk: Desk) -> None:
    """A cancel in real time; and one whose 0400 is lost."""
    held = await authorized(desk)
    answer = await desk.cancel(held.payment_intent)
    await desk.ends(answer, "succeeded", intent="canceled")
    (cancel,) = desk.network.heard(CANCELS)
    desk.equal("DE 90", cancel.fields[90], original_data(desk.network.heard("0100")[0].fields))
    desk.equal("the issuer holds", hold_of_latest(desk).held, 0)
    second = await authorized(desk)
    desk.network.on(CANCELS, drop)
    answer = await desk.cancel(second.payment_intent)
    (advice,) = await desk.network.hear("0420")
    desk.equal("DE 37", advice.fields[37], desk.network.heard("0100")[1].fields[37])
    await desk.ends(answer, "succeeded", intent="canceled")


@case("RV07", messages="dual")
async def double_void(desk: Desk) -> None:
    """The second cancel is answered from what is known."""
    held = await authorized(desk)
    answer = await desk.cancel(held.payment_intent, key="the-one-key-of-two-voids")
    await desk.ends(answer, "succeeded", intent="canceled")
    again = await desk.cancel(held.payment_intent, key="the-one-key-of-two-voids")
    desk.equal("the same key: the same transaction", again.id, answer.id)
    await desk.refused(desk.cancel(held.payment_intent), "intent_canceled")
    desk.equal("cancels sent", len(desk.network.heard(CANCELS)), 1)


@case("RV08", both_policies=True)
async def reversal_first(desk: Desk) -> None:
    """The request arrives behind its own reversal."""

    async def overtaken(exchange: Exchange) -> None:
        await desk.network.hear("0420")
        await trio.sleep(0.1)
        exchange.answer(note="overtaken by its reversal")

    desk.network.on(REQUESTS, overtaken)
    answer = await in_doubt(desk)
    await desk.ends(answer, "reversed", intent="failed")
    await desk.until("the late request was answered", _is_true(lambda: _has(desk)))
    code = next(line for line in desk.network.trace if line.mti in ANSWERS.split()).fields[39]
    desk.equal("with", code, "05")


def _has(desk: Desk) -> bool:
    return any(line.mti in ANSWERS.split() for line in desk.network.trace)


def _is_true(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return condition()

    return check


@case("RV09", both_policies=True)
async def poison(desk: Desk) -> None:
    """One reversal is refused for its form: a person's job, and nobody else's problem."""

    async def refuse(exchange: Exchange) -> None:
        exchange.answer(Ruling("30"))

    desk.network.on(REQUESTS, withhold, times=3)
    desk.network.on(INQUIRIES, drop, times=None)
    desk.network.on("0420", refuse)
    answers = await desk.many(3)
    desk.equal("in doubt", [each.status for each in answers], ["pending_verification"] * 3)
    await desk.network.hear("0420", 3)

    async def sorted_out() -> bool:
        reversals = await desk.attempts("reversal")
        manual = sum(each.manual for each in reversals)
        done = sum(not each.open and not each.manual for each in reversals)
        return (manual, done) == (1, 2)

    await desk.until("one waits for a person, two are acknowledged", sorted_out)
    desk.equal("the poison was sent once", len(desk.network.heard("0421")), 0)


@case("RV10")
async def outage_drain(desk: Desk) -> None:
    """The network goes away with many payments in doubt; their reversals wait for it."""
    desk.network.on(REQUESTS, withhold, times=QUEUED)
    answers = await desk.many(QUEUED)
    told = {answer.status for answer in answers}
    desk.equal(f"{QUEUED} payments are told as", told, {"pending_verification"})
    desk.network.go_away()

    async def queued() -> bool:
        return (
            len(await desk.attempts("reversal")) + len(_resolved(await desk.attempts())) >= QUEUED
        )

    await desk.until(f"every one of {QUEUED} has a reversal that waits", queued)
    waiting = sum(each.open for each in await desk.attempts("reversal"))
    desk.check(that=waiting > QUEUED // 2, what=f"{waiting} reversals wait for the link")
    desk.network.accepting.set()
    await desk.recovers()
    latencies = [await _timed(desk) for _ in range(20)]
    desk.check(that=max(latencies) < LIVE_WITHIN_S, what=f"live sales took {max(latencies):.2f} s")

    async def drained() -> bool:
        return not any(each.open for each in await desk.attempts("reversal"))

    await desk.until("all reversals are acknowledged", drained, within_s=80)


def _resolved(attempts: list[Attempt]) -> list[Attempt]:
    """Requests whose doubt an inquiry has ended: one that was answered before the outage."""
    return [each for each in attempts if each.kind == "request" and each.resolution]


async def _timed(desk: Desk) -> float:
    began = trio.current_time()
    answer = await desk.pay()
    if answer.status != "succeeded":
        desk.check(that=False, what=f"a live sale is {answer.status}")
    return trio.current_time() - began


async def killed(desk: Desk) -> None:
    """End the switch as a crash would, and wait for the one in its place."""
    old = desk.stack.refresh().processes["switch-0"]
    os.kill(old, signal.SIGKILL)

    async def back() -> bool:
        return desk.stack.refresh().processes.get("switch-0") not in {None, old}

    await desk.until("the switch was killed and is back", back)
    await desk.network.signed_on()


@case("RV11", alone=True, crashes=True)
async def crash_points(desk: Desk) -> None:
    """The switch dies at every named step in turn; the merchant asks again until it is answered."""
    old = desk.stack.refresh().processes["switch-0"]
    for point in POINTS:
        desk.network.clear()
        if point in {BEFORE_DECISION, AFTER_DECISION}:
            desk.network.on(REQUESTS, withhold)  # an inquiry follows, which is such a decision
        arm(desk.crash_file, point)
        answer = await desk.insist(await desk.intent())

        async def crashed() -> bool:
            return not is_armed(desk.crash_file)

        await desk.until(f"it died at {point}; the merchant heard {answer.status}", crashed)

        async def back(before: int = old) -> bool:
            return desk.stack.refresh().processes.get("switch-0") not in {None, before}

        await desk.until("another process is in its place", back)
        old = desk.stack.refresh().processes["switch-0"]
        await desk.network.signed_on()

        async def at_rest() -> bool:
            return not still_open(await desk.attempts())

        await desk.until("everything has come to rest", at_rest, within_s=80)
    count = len([each for each in await desk.attempts() if each.kind == "request"])
    desk.check(that=count >= len(POINTS), what=f"{count} requests over {len(POINTS)} crashes")


@case("RV12", alone=True)
async def queue_over_restart(desk: Desk) -> None:
    """A reversal waits while the switch is killed: its counter and its repeat's MTI survive."""
    desk.network.on(REQUESTS, withhold)
    desk.network.on(INQUIRIES, drop, times=None)
    lost = desk.network.on(REVERSALS, drop, times=None)
    answer = await in_doubt(desk)
    await desk.network.hear("0420")
    (before,) = await desk.attempts("reversal")
    await killed(desk)
    await desk.network.hear("0421", within_s=60)
    (after,) = await desk.attempts("reversal")
    desk.equal("the same attempt", after.attempt, before.attempt)
    desk.check(
        that=after.repeats > before.repeats, what=f"sends: {before.repeats}, {after.repeats}"
    )
    lost.left = 0
    await desk.ends(answer, "reversed", intent="failed")
    same_message(desk, desk.network.heard(REVERSALS))
