"""HA: parts of the whole are lost, slow, or wrong about the time."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import trio

from certification.desk import Desk
from certification.handlers import delayed
from certification.network import Exchange
from certification.registry import case
from certification.vocabulary import REQUESTS
from chassis.clock import write_offset

HOUR_S: Final = 3_600
STILL_S: Final = 5.0


@case("HA01", connections=2)
async def connection_lost(desk: Desk) -> None:
    """One of two connections goes, with payments on both."""
    lost, _ = desk.network.connections
    on_it: list[str] = []

    async def slowly(exchange: Exchange) -> None:
        answer = exchange.decide()
        await trio.sleep(0.3)
        if exchange.connection is lost:
            on_it.append(exchange.fields[37])
        else:
            exchange.send(answer)

    desk.network.on(REQUESTS, slowly, times=60)
    async with trio.open_nursery() as load:
        load.start_soon(desk.many, 60)
        await desk.network.hear(REQUESTS, 60)
        lost.reset()
    told = [answer.status for answer in desk.told]
    desk.check(
        that=told.count("pending_verification") <= 60 // 2 + 10, what="about half were on it"
    )
    desk.equal("answers", len(told), 60)
    desk.equal("told anything else", set(told) - {"succeeded", "pending_verification"}, set())
    desk.equal("meanwhile a sale", (await desk.pay()).status, "succeeded")
    await desk.network.signed_on(2)
    desk.saw("the link comes back")


def _postgres(desk: Desk) -> list[int]:
    """The postmaster and its back ends."""
    pid = desk.stack.refresh().processes["postgres"]
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


@case("HA02", alone=True)
async def ledger_stands_still(desk: Desk) -> None:
    """Every process of Postgres is stopped for five seconds, then goes on."""
    desk.equal("a sale", (await desk.pay()).status, "succeeded")
    stopped = await trio.to_thread.run_sync(_postgres, desk)
    sent = len(desk.network.heard(REQUESTS))
    outcomes: list[str] = []

    async def one() -> None:
        try:
            outcomes.append((await desk.pay()).status)
        except Exception as error:  # noqa: BLE001  a refusal is an answer too
            outcomes.append(type(error).__name__)

    async with trio.open_nursery() as load:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(10):
                load.start_soon(one)
            await trio.sleep(STILL_S)
            desk.equal("sent meanwhile", len(desk.network.heard(REQUESTS)) - sent, 0)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
    desk.saw(f"the merchant hears {sorted(outcomes)}")

    async def pays() -> bool:
        try:
            return (await desk.pay()).status == "succeeded"
        except Exception:  # noqa: BLE001  not yet
            return False

    await desk.until("then a sale succeeds", pays)


def _shifted_now(offset_s: int) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=offset_s)


@case("HA03", alone=True, clock=True)
async def clock_step(desk: Desk) -> None:
    """The product's clock is stepped an hour forth, and back, under payments."""
    core = desk.shop._core  # noqa: SLF001  the merchant's clock follows the server's
    # Further back than its start the api takes no request until it is restarted (contract 2).
    for offset_s in (0, HOUR_S, 0):
        write_offset(desk.clock_file, offset_s * 1_000_000)
        core.now = partial(_shifted_now, offset_s)
        await trio.sleep(2.0)  # every process looks at the file now and then
        desk.network.on(REQUESTS, delayed(0.2), times=5)
        answers = await desk.many(5)
        desk.equal(
            f"at {offset_s:+d} s: the merchant hears",
            {answer.status for answer in answers},
            {"succeeded"},
        )
    desk.equal("in doubt", len(await desk.attempts("reversal")), 0)
