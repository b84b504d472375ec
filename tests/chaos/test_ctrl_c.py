"""Ctrl-C under load: what was accepted is answered, and the stack is gone in time."""

from __future__ import annotations

import json
import os
import secrets
import signal
from functools import partial
from pathlib import Path
from typing import Any

import trio

from benchmarks.driving import LoadResult, drive
from benchmarks.prepared import Signer, create_requests
from benchmarks.witnesses import told
from benchmarks.workplace import address
from chassis.supervisor import process_is_alive
from stack.temporary import TemporaryStack, stack_in
from tests.support.whole_stack import QUIET, SLOW, WholeStack, everyday_card, merchant_of
from turnout_client.seal import seal_card

RATE_PER_S = 1_000.0
RATE_MIN_PER_S = 300.0  # on a machine that others use too; less would not be load
CHARGES = 4_000
CONNECTIONS = 256
GONE_WITHIN_S = 20.0
EXIT_INTERRUPTED = 130
COUNT_SQL = "SELECT count(*) FROM attempts"
IN_FLIGHT_SQL = "SELECT count(*) FROM payment_intents WHERE status = 'processing'"


def _prepare(stack: TemporaryStack) -> list[bytes]:
    """Create the intents, then seal and sign a charge for each; a tenth of the cards is slow."""
    credentials = stack.credentials()
    host, port = address(stack)
    signer = Signer(f"{host}:{port}", credentials.publishable_key, credentials.secret_key)
    ask = partial(drive, host, port, seconds=60.0)
    created = ask(create_requests(signer, CHARGES), connections=64).outcome.body
    get_keys = f"GET /keys HTTP/1.1\r\nHost: {signer.host}\r\n\r\n".encode()
    (keys,) = ask([get_keys], connections=1).outcome.body
    return [
        _charge(signer, json.loads(keys), json.loads(body)["id"], everyday_card(number))
        for number, body in enumerate(created)
    ]


def _charge(signer: Signer, keys: dict[str, Any], intent: str, pan: str) -> bytes:
    ciphertext = seal_card(
        keys=keys,
        mode="test",
        publishable_key=signer.publishable_key,
        intent_id=intent,
        number=pan,
        exp_month=12,
        exp_year=2030,
        cvc="123",
    )
    body = json.dumps({"type": "charge", "card": {"ciphertext": ciphertext}}).encode()
    target = f"/payment-intents/{intent}/transactions"
    return signer.request("POST", target, body, secrets.token_hex(12))


async def _measure(whole: WholeStack) -> float:
    """Wait until charges flow, then say how many a second do."""
    count = partial(trio.to_thread.run_sync, whole.query, COUNT_SQL)
    with trio.fail_after(30):
        while (await count())[0][0] < RATE_MIN_PER_S:
            await trio.sleep(0.05)
    ((before,),), began = await count(), trio.current_time()
    await trio.sleep(1.0)
    ((after,),) = await count()
    return float(after - before) / (trio.current_time() - began)


async def _until_gone(process_id: int) -> None:
    with trio.fail_after(GONE_WITHIN_S):
        while process_is_alive(process_id):
            await trio.sleep(0.02)


async def test_ctrl_c_under_load_answers_what_was_accepted(open_tmp_path: Path) -> None:
    """Every charge that reached the ledger was answered with its end, exit status 0, in time."""
    driven: list[LoadResult] = []
    async with stack_in(open_tmp_path, QUIET) as stack, merchant_of(stack) as whole:
        await whole.pay_well(within_s=20)
        requests = await trio.to_thread.run_sync(_prepare, stack)
        send = partial(
            drive,
            *address(stack),
            requests,
            connections=CONNECTIONS,
            seconds=60.0,
            rate=RATE_PER_S,
        )

        async def drive_in_thread() -> None:
            driven.append(await trio.to_thread.run_sync(send))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drive_in_thread)
            rate_per_s = await _measure(whole)
            os.kill(stack.process_id, signal.SIGINT)
            await _until_gone(stack.process_id)
    outcome = driven[0].outcome
    answered = whole.told + told(outcome)
    assert stack.exit_code == 0
    assert rate_per_s >= RATE_MIN_PER_S
    assert outcome.sent < len(requests)  # it was under load to the end
    assert set(outcome.status) <= {200, 503, 0}  # 0: sent to a connection that was being closed
    assert {answer.status for answer in answered} == {"succeeded", "failed"}
    async with stack_in(open_tmp_path, QUIET) as stack, merchant_of(stack) as whole:
        whole.told = answered
        agreement = await whole.prove()
        assert agreement.held == len(answered)


async def test_a_second_ctrl_c_does_not_wait(open_tmp_path: Path) -> None:
    """With charges in flight everything is killed at once, which the exit status tells."""
    async with stack_in(open_tmp_path, QUIET) as stack, merchant_of(stack) as whole:
        await whole.pay_well(within_s=20)
        with trio.move_on_after(GONE_WITHIN_S) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(whole.pay, SLOW)
                while await trio.to_thread.run_sync(whole.query, IN_FLIGHT_SQL) == [(0,)]:
                    await trio.sleep(0.01)
                os.kill(stack.process_id, signal.SIGINT)
                await trio.sleep(0.05)
                os.kill(stack.process_id, signal.SIGINT)
                await _until_gone(stack.process_id)
                nursery.cancel_scope.cancel()
        assert not scope.cancelled_caught
    assert stack.exit_code == EXIT_INTERRUPTED
