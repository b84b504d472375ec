"""Who gets in: every line of the signed string altered, replays, strangers, browsers."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from tests.support.api import HOST, SEALED_CHARGE, Merchant, RunningAPI, problem, running_api
from tests.support.http import Response
from tests.support.postgres import LedgerDSN

BODY = {"amountInCents": 1, "currency": "usd"}


def at(offset_s: float) -> str:
    """A timestamp so many seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=offset_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def refused(response: Response) -> str:
    """The code of a 401, which must have its challenge."""
    document = problem(response)
    assert response.status == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="turnout"'
    return str(document["code"])


async def test_a_signed_request_gets_in(api: RunningAPI) -> None:
    """The good twin of everything below."""
    response = await api.ask(api.shop.request("POST", "/payment-intents", BODY))
    assert response.status == 201


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("timestamp", {"X_Request_Timestamp": "shifted"}),
        ("nonce", {"X_Request_Nonce": "another-nonce-0001"}),
        ("host", {"Host": "evil.test:8080"}),
        ("host without port", {"Host": "shop.test"}),
        ("content type", {"Content_Type": "application/json;charset=utf-8"}),
        ("idempotency key", {"Idempotency_Key": "another"}),
        ("signature", {"X_Signature": "sha256=" + "0" * 64}),
    ],
)
async def test_an_altered_header_is_seen(
    api: RunningAPI, line: str, changes: dict[str, str | None]
) -> None:
    """Each signed header is signed."""
    if line == "timestamp":
        changes = {"X_Request_Timestamp": at(-2)}
    response = await api.ask(api.shop.request("POST", "/payment-intents", BODY, **changes))
    assert refused(response) == "signature_mismatch"


@pytest.mark.parametrize(
    ("line", "old", "new"),
    [
        ("method", b"POST /payment-intents ", b"GET /payment-intents "),
        ("target", b"POST /payment-intents ", b"POST /payment-intents?x=1 "),
        ("body", b'"usd"', b'"eur"'),
        ("body, white space only", b'": 1', b'":1 '),
    ],
)
async def test_an_altered_request_is_seen(
    api: RunningAPI, line: str, old: bytes, new: bytes
) -> None:
    """So are method, target and body, byte by byte."""
    request = api.shop.request("POST", "/payment-intents", BODY)
    altered = request.replace(old, new)
    assert altered != request, line
    assert refused(await api.ask(altered)) == "signature_mismatch"


async def test_the_host_counts_in_lower_case(api: RunningAPI) -> None:
    """A Host in capitals signs and verifies as the same host."""
    request = api.shop.request("POST", "/payment-intents", BODY, Host=HOST.upper())
    assert (await api.ask(request)).status == 201


async def test_another_merchants_key_does_not_fit(api: RunningAPI) -> None:
    """A request re-signed by another merchant is not the first one's."""
    thief = await api.add_merchant()
    mixed = Merchant(api.shop.merchant_id, api.shop.publishable_key, thief.secret_key)
    response = await api.ask(mixed.request("POST", "/payment-intents", BODY))
    assert refused(response) == "signature_mismatch"


async def test_a_mismatch_shows_what_the_server_signed(api: RunningAPI) -> None:
    """Test mode helps: the ten lines as seen, and the server's time."""
    request = api.shop.request("POST", "/payment-intents", BODY, Idempotency_Key="other")
    document = json.loads((await api.ask(request)).body)
    lines = document["canonicalString"].split("\n")
    assert len(lines) == 10
    assert (lines[0], lines[1], lines[4], lines[5]) == (
        "turnout-v1",
        api.shop.publishable_key,
        "POST",
        HOST,
    )
    assert lines[8] == "other"
    assert abs(datetime.fromisoformat(document["serverTime"]) - datetime.now(UTC)) < timedelta(
        seconds=5
    )


async def test_a_replay_is_refused(api: RunningAPI) -> None:
    """The very same bytes do not pass twice; another merchant may use the same nonce."""
    request = api.shop.request("POST", "/payment-intents", BODY, signed_X_Request_Nonce="n" * 16)
    assert (await api.ask(request)).status == 201
    assert refused(await api.ask(request)) == "nonce_reused"
    neighbor = await api.add_merchant()
    other = neighbor.request("POST", "/payment-intents", BODY, signed_X_Request_Nonce="n" * 16)
    assert (await api.ask(other)).status == 201


async def test_a_forgery_does_not_use_a_nonce_up(api: RunningAPI) -> None:
    """Only a right signature makes a nonce used."""
    forged = api.shop.request(
        "GET",
        "/payment-intents",
        signed_X_Request_Nonce="n" * 16,
        X_Signature="sha256=" + "0" * 64,
    )
    assert refused(await api.ask(forged)) == "signature_mismatch"
    genuine = api.shop.request("GET", "/payment-intents", signed_X_Request_Nonce="n" * 16)
    assert (await api.ask(genuine)).status == 200


@pytest.mark.parametrize(
    ("offset_s", "code"),
    [
        (-295, "timestamp_outside_window"),
        (-305, "timestamp_outside_window"),
        (305, "timestamp_outside_window"),
        (-30, None),
        (295, None),
    ],
)
async def test_timestamps_have_a_window(api: RunningAPI, offset_s: int, code: str | None) -> None:
    """Within 300 seconds, and not from before the start (a minute ago for this server)."""
    request = api.shop.request("GET", "/payment-intents", signed_X_Request_Timestamp=at(offset_s))
    response = await api.ask(request)
    assert response.status == (200 if code is None else 401)
    if code is not None:
        assert refused(response) == code


@pytest.mark.parametrize(
    "changes",
    [
        {"Authorization": None},
        {"Authorization": "Basic abc"},
        {"Authorization": "Bearer sk_test_abcdef"},
        {"Authorization": "Bearer pk_test_"},
        {"X_Request_Timestamp": None},
        {"X_Request_Timestamp": "2026-01-02 03:04:05Z"},
        {"X_Request_Timestamp": "2026-01-02T03:04:05+00:00"},
        {"X_Request_Timestamp": "2026-02-30T03:04:05Z"},
        {"X_Request_Nonce": None},
        {"X_Request_Nonce": "short"},
        {"X_Request_Nonce": "n" * 65},
        {"X_Request_Nonce": "nonce with spaces"},
        {"X_Signature": None},
        {"X_Signature": "0" * 64},
        {"X_Signature": "sha256=" + "A" * 64},
    ],
)
async def test_badly_formed_credentials(api: RunningAPI, changes: dict[str, str | None]) -> None:
    """A missing or malformed header is named, and the two are told apart."""
    response = await api.ask(api.shop.request("GET", "/payment-intents", **changes))
    assert refused(response) == "authentication_failed"
    ((name, value),) = changes.items()
    said = "is missing" if value is None else "must be "
    assert json.loads(response.body)["detail"].startswith(f"{name.replace('_', '-')} {said}")


@pytest.mark.parametrize(
    "header",
    [
        "Authorization",
        "X-Request-Timestamp",
        "X-Request-Nonce",
        "X-Signature",
        "Content-Type",
        "Idempotency-Key",
        "Host",
    ],
)
async def test_a_signed_header_may_not_stand_twice(api: RunningAPI, header: str) -> None:
    """Nobody has to guess which of two counts."""
    head, _, body = api.shop.request("POST", "/payment-intents", BODY).partition(b"\r\n\r\n")
    line = next(line for line in head.split(b"\r\n") if line.startswith(header.encode() + b":"))
    response = await api.ask(head + b"\r\n" + line + b"\r\n\r\n" + body)
    assert (response.status, problem(response)["code"]) == (400, "malformed_request")


async def test_unknown_revoked_and_live_keys_are_strangers(api: RunningAPI) -> None:
    """A key nobody has, one that was revoked, and one of the other mode look the same."""
    stranger = Merchant(os.urandom(16), "pk_test_nobody0000", "sk_test_nobody0000")
    live = await api.add_merchant(live=True)
    for merchant in (stranger, live):
        response = await api.ask(merchant.request("GET", "/payment-intents"))
        assert refused(response) == "unknown_key"


async def test_both_secrets_work_while_a_key_is_rolled(api: RunningAPI) -> None:
    """Two pairs of a merchant are active; either secret signs for either publishable key."""
    new = Merchant(api.shop.merchant_id, "pk_test_rolled0000", "sk_test_rolled0000")
    await api.add_key(new)
    crossed = Merchant(new.merchant_id, new.publishable_key, api.shop.secret_key)
    for merchant in (api.shop, new, crossed):
        response = await api.ask(merchant.request("GET", "/payment-intents"))
        assert response.status == 200


async def test_a_merchant_whose_secret_does_not_open_is_not_let_in(api: RunningAPI) -> None:
    """A sealed secret moved to another row does not open, and without one nobody can sign."""
    victim = await api.add_merchant(with_key=False)
    await api.add_key(victim, sealed=api.shop.sealed())
    for secret in (api.shop.secret_key, victim.secret_key, "", "\0" * 40):
        forged = Merchant(b"", victim.publishable_key, secret)
        assert refused(await api.ask(forged.request("GET", "/payment-intents"))) == "unknown_key"
    assert api.application.key_service.unopened_secrets_total == 1


async def test_the_merchant_is_kept_in_memory(api: RunningAPI) -> None:
    """The HSM unseals once, not once a request."""
    for _ in range(3):
        assert (await api.ask(api.shop.request("GET", "/payment-intents"))).status == 200
    assert api.hsm.unsealed == 1


async def test_without_the_hsm_unknown_merchants_wait_for_nothing(ledger_dsn: LedgerDSN) -> None:
    """If secrets cannot be unsealed the answer is 503, and the next request tries again."""
    async with running_api(ledger_dsn, hsm_deadline_s=0.05) as api:
        api.hsm.silent = True
        response = await api.ask(api.shop.request("GET", "/payment-intents"))
        assert (response.status, problem(response)["code"]) == (503, "hsm_unavailable")
        api.hsm.silent = False
        assert (await api.ask(api.shop.request("GET", "/payment-intents"))).status == 200


@pytest.mark.parametrize(
    ("mode", "code"), [("live", "authentication_failed"), ("test", "unknown_key")]
)
async def test_keys_of_the_other_mode_are_unknown(
    ledger_dsn: LedgerDSN, mode: Literal["test", "live"], code: str
) -> None:
    """Live mode refuses demo keys, however well they sign; test mode refuses live ones."""
    async with running_api(ledger_dsn, mode=mode) as api:
        other = await api.add_merchant(live=mode == "test")
        response = await api.ask(other.request("GET", "/payment-intents"))
        assert (response.status, problem(response)["code"]) == (401, code)


async def test_live_mode_tells_nothing(ledger_dsn: LedgerDSN) -> None:
    """Every cause has the same code, and no hints."""
    async with running_api(ledger_dsn, mode="live") as api:
        assert (await api.ask(api.shop.request("GET", "/payment-intents"))).status == 200
        used = api.shop.request("GET", "/payment-intents")
        await api.ask(used)
        bad = [
            api.shop.request("GET", "/payment-intents", X_Request_Nonce=None),
            api.shop.request("GET", "/payment-intents", X_Signature="sha256=" + "0" * 64),
            api.shop.request("GET", "/payment-intents", signed_X_Request_Timestamp=at(-400)),
            Merchant(b"", "pk_live_nobody0000", "sk").request("GET", "/payment-intents"),
            used,
        ]
        documents = [json.loads((await api.ask(request)).body) for request in bad]
        for document in documents:
            del document["requestId"]
        assert documents == [documents[0]] * len(bad)
        assert documents[0]["code"] == "authentication_failed"
        assert "canonicalString" not in documents[0]


# Browsers.


def browser(
    merchant: Merchant, method: str, target: str, secret: str, body: bytes = b"", key: str = "k"
) -> bytes:
    """What a browser sends with a client secret."""
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {HOST}",
        f"Authorization: Bearer {merchant.publishable_key}",
        f"X-Client-Secret: {secret}",
    ]
    if body:
        lines += ["Content-Type: application/json", f"Idempotency-Key: {key}"]
        lines += [f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_a_browser_sees_less(api: RunningAPI) -> None:
    """With the client secret a reduced view of that intent is read."""
    created = await api.create(description="Shoes", merchantReference="order-9")
    target = f"/payment-intents/{created['id']}"
    response = await api.ask(browser(api.shop, "GET", target, created["clientSecret"]))
    assert response.status == 200
    assert json.loads(response.body) == {
        "id": created["id"],
        "amountInCents": 2499,
        "currency": "usd",
        "description": "Shoes",
        "status": "created",
        "lastError": None,
    }


async def test_a_browser_may_charge_its_intent(api: RunningAPI) -> None:
    """The charge goes through under a key that is the browser's own."""
    created = await api.create()
    target = f"/payment-intents/{created['id']}/transactions"
    body = json.dumps(SEALED_CHARGE).encode()
    response = await api.ask(browser(api.shop, "POST", target, created["clientSecret"], body))
    assert response.status == 200
    await api.ask(api.shop.request("POST", target, body, signed_Idempotency_Key="k"))
    by_browser, by_server = api.switch.charges
    assert by_browser.key_digest != by_server.key_digest
    assert by_browser.request_hash == by_server.request_hash


async def test_a_browser_may_do_nothing_else(api: RunningAPI) -> None:
    """Lists, creations, timelines and other intents are out of its scope."""
    created, other = await api.create(), await api.create()
    secret = created["clientSecret"]
    body = json.dumps(BODY).encode()
    for request in (
        browser(api.shop, "GET", "/payment-intents", secret),
        browser(api.shop, "GET", "/balance", secret),
        browser(api.shop, "POST", "/payment-intents", secret, body),
        browser(api.shop, "GET", f"/payment-intents/{created['id']}/events", secret),
        browser(api.shop, "GET", f"/payment-intents/{other['id']}", secret),
    ):
        response = await api.ask(request)
        assert (response.status, problem(response)["code"]) == (403, "scope_not_allowed")


@pytest.mark.parametrize(
    "body",
    [
        {"type": "capture"},
        {"type": "cancel"},
        {"type": "refund", "amountInCents": 1},
        SEALED_CHARGE | {"type": "verify"},
    ],
)
async def test_a_browser_may_only_charge(api: RunningAPI, body: dict[str, Any]) -> None:
    """What else can be done with its intent is its merchant's; the switch hears nothing of it."""
    created = await api.create()
    target = f"/payment-intents/{created['id']}/transactions"
    secret = created["clientSecret"]
    response = await api.ask(browser(api.shop, "POST", target, secret, json.dumps(body).encode()))
    assert (response.status, problem(response)["code"]) == (403, "scope_not_allowed")
    assert api.switch.requests == []


async def test_client_secrets_that_do_not_open(api: RunningAPI) -> None:
    """A wrong secret, one of another merchant, one of a canceled intent: all the same 401."""
    created = await api.create()
    stranger = await api.add_merchant()
    target, secret = f"/payment-intents/{created['id']}", created["clientSecret"]
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for merchant, tried in ((api.shop, wrong), (stranger, secret)):
        response = await api.ask(browser(merchant, "GET", target, tried))
        assert refused(response) == "client_secret_invalid"
    await api.superuser.script(
        "UPDATE payment_intents SET status = 'canceled', canceled_by = 'sweeper'"
    )
    response = await api.ask(browser(api.shop, "GET", target, secret))
    assert refused(response) == "client_secret_invalid"


async def test_two_credentials_are_none(api: RunningAPI) -> None:
    """A signature and a client secret do not go together."""
    created = await api.create()
    target = f"/payment-intents/{created['id']}"
    request = api.shop.request("GET", target, X_Client_Secret=created["clientSecret"])
    assert refused(await api.ask(request)) == "authentication_failed"
