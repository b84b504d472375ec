"""Too much at once is told 429 and when to come again; what was refused consumes nothing."""

from __future__ import annotations

import json
import os
from typing import Any

from chassis.settings.limits import Limits, Velocity
from tests.support.api import (
    HOST,
    SEALED_CHARGE,
    RunningAPI,
    approved,
    open_get,
    problem,
    running_api,
)
from tests.support.http import until
from tests.support.postgres import LedgerDSN

BODY = {"amountInCents": 2499, "currency": "usd"}
SLOW = Limits(key_writes_per_s=0.5, key_writes_burst=2)


async def test_a_merchant_that_asks_too_much_is_told_when_to_come_again(
    ledger_dsn: LedgerDSN,
) -> None:
    """The third write within a burst of two is a 429; reads and other merchants go on."""
    async with running_api(ledger_dsn, rates=SLOW) as api:
        for _ in range(2):
            await api.create()
        refused = await api.ask(api.shop.request("POST", "/payment-intents", BODY))
        assert refused.status == 429
        assert problem(refused)["code"] == "rate_limited"
        assert refused.headers["retry-after"] == "2"
        assert (await api.ask(api.shop.request("GET", "/payment-intents"))).status == 200
        await api.create(await api.add_merchant())


async def test_a_refused_request_leaves_its_key_free(ledger_dsn: LedgerDSN) -> None:
    """Repeated with the same Idempotency-Key and signed anew, it is done as a new one."""
    quick = Limits(key_writes_per_s=4.0, key_writes_burst=1)
    async with running_api(ledger_dsn, rates=quick) as api:
        await api.create()
        repeated = [
            await api.ask(
                api.shop.request("POST", "/payment-intents", BODY, signed_Idempotency_Key="k")
            )
        ]
        while repeated[-1].status == 429:
            repeated.append(
                await api.ask(
                    api.shop.request("POST", "/payment-intents", BODY, signed_Idempotency_Key="k")
                )
            )
        assert len(repeated) > 1
        assert repeated[-1].status == 201
        assert "idempotent-replayed" not in repeated[-1].headers


async def test_nobody_uses_up_the_limit_of_another(ledger_dsn: LedgerDSN) -> None:
    """A request that names a merchant's key and is not signed by it counts for nothing."""
    async with running_api(ledger_dsn, rates=SLOW) as api:
        for _ in range(5):
            forged = api.shop.request(
                "POST", "/payment-intents", BODY, X_Signature="sha256=" + "0" * 64
            )
            assert (await api.ask(forged)).status == 401
        await api.create()


async def test_an_address_behind_a_proxy_has_its_limit(ledger_dsn: LedgerDSN) -> None:
    """Open routes, too: the proxy says whose request it is, and the others go on."""
    rates = Limits(address_reads_per_s=0.1, address_reads_burst=2, trusted_proxies=("127.0.0.1",))
    async with running_api(ledger_dsn, rates=rates) as api:

        async def ask(address: str) -> int:
            forwarded = f"\r\nX-Forwarded-For: 192.0.2.1, {address}\r\n\r\n".encode()
            return (await api.ask(open_get("/healthz")[:-4] + forwarded)).status

        assert [await ask("203.0.113.7") for _ in range(3)] == [200, 200, 429]
        assert await ask("203.0.113.8") == 200
        assert (await api.ask(open_get("/healthz"))).status == 200


async def test_a_thief_at_the_checkout_is_stopped(ledger_dsn: LedgerDSN) -> None:
    """A browser's declines end in a 429; the merchant's server still charges the intent."""
    velocity = Velocity(intent_declines_max=2)
    async with running_api(ledger_dsn, velocity=velocity) as api:
        api.switch.decide = lambda request: approved(request, status="failed")
        created = await api.create()
        target = f"/payment-intents/{created['id']}/transactions"
        answers = [await api.ask(_by_browser(api, target, created)) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert problem(answers[-1])["code"] == "too_many_attempts"
        assert int(answers[-1].headers["retry-after"]) > 60
        assert len(api.switch.charges) == 2
        assert (await api.ask(api.shop.request("POST", target, SEALED_CHARGE))).status == 200
        other = await api.create()
        target = f"/payment-intents/{other['id']}/transactions"
        assert (await api.ask(_by_browser(api, target, other))).status == 200


async def test_a_customer_whose_switch_is_away_is_not_stopped(ledger_dsn: LedgerDSN) -> None:
    """What no switch has seen does not count, however often it is tried."""
    velocity = Velocity(intent_declines_max=2)
    async with running_api(ledger_dsn, velocity=velocity) as api:
        created = await api.create()
        target = f"/payment-intents/{created['id']}/transactions"
        api.cut_switch()
        await until(lambda: not api.application.shards[0].charging.connected)
        answers = [await api.ask(_by_browser(api, target, created)) for _ in range(5)]
        assert {problem(answer)["code"] for answer in answers} == {"switch_unavailable"}


def _by_browser(api: RunningAPI, target: str, intent: dict[str, Any]) -> bytes:
    """A charge as a browser sends it."""
    body = json.dumps(SEALED_CHARGE)
    return (
        f"POST {target} HTTP/1.1\r\nHost: {HOST}\r\n"
        f"Authorization: Bearer {api.shop.publishable_key}\r\n"
        f"X-Client-Secret: {intent['clientSecret']}\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {os.urandom(8).hex()}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
