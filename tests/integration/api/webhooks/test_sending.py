"""What is due is sent: to real sockets, from a real ledger, whatever the other end does."""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import msgspec
import pytest
import trio
import trustme
from standardwebhooks.webhooks import Webhook

from api.webhooks.signing import secret_text
from ledger.webhooks.endpoints import roll_secret, secret_context
from tests.support.webhooks import QUICK, SEALED, Heard, Told, ok, receiving

SHORT = msgspec.structs.replace(
    QUICK, retry_first_s=0.02, retry_max_s=0.05, answer_timeout_s=0.3, breaker_failures=1_000
)
ONE_TYPE = ["payment_intent.succeeded"]


async def test_a_request_verifies_and_a_connection_is_kept(told: Told) -> None:
    """By the public verifier; requests in turn share a connection."""
    async with receiving() as receiver:
        _, key = await told.endpoint(receiver.url, types=ONE_TYPE)
        async with told.sending():
            for number in range(3):
                await told.ledger.charged(1)
                await told.tell()
                await receiver.until(number + 1)
                await told.until({"delivered"})
    for heard in receiver.heard:
        event = Webhook(secret_text(key)).verify(heard.body, heard.headers)
        assert event["id"] == heard.headers["webhook-id"]
        assert heard.headers["content-type"] == "application/json"
        assert heard.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert {heard.connection for heard in receiver.heard} == {1}
    assert await told.tries() == [(1, 200, "")] * 3


async def test_a_failure_is_tried_again_with_the_same_id(told: Told) -> None:
    """Until it is answered; body and id stay, the timestamp's signature is that of the try."""
    told.limits = SHORT
    answers = iter([ok(500), ok(404), ok(302, b"", "Location: http://127.0.0.1:1/"), ok(204)])
    async with receiving() as receiver:
        receiver.answer = lambda _: next(answers)
        _, key = await told.endpoint(receiver.url, types=ONE_TYPE)
        await told.ledger.charged(1)
        await told.tell()
        async with told.sending():
            await receiver.until(4)
            await told.until({"delivered"})
    assert len({(heard.headers["webhook-id"], heard.body) for heard in receiver.heard}) == 1
    for heard in receiver.heard:
        Webhook(secret_text(key)).verify(heard.body, heard.headers)
    assert await told.tries() == [
        (1, 500, "refused"),
        (2, 404, "refused"),
        (3, 302, "redirected"),
        (4, 204, ""),
    ]


async def test_silence_rubbish_and_a_cut_are_failures(told: Told) -> None:
    """Each has its reason; an answer longer than is read still counts by its status."""
    told.limits = msgspec.structs.replace(SHORT, answer_bytes_max=1_000)
    answers = iter([None, b"SSH-2.0\r\n\r\n", ok(200, b"x" * 5_000)])
    async with receiving() as receiver:
        receiver.answer = lambda _: next(answers)
        await told.endpoint(receiver.url, types=ONE_TYPE)
        await told.ledger.charged(1)
        await told.tell()
        async with told.sending():
            await told.until({"delivered"})
    assert await told.tries() == [
        (1, None, "no_answer_in_time"),
        (2, None, "not_http"),
        (3, 200, ""),
    ]


async def test_gone_disables_the_endpoint(told: Told) -> None:
    """410 ends its deliveries and makes no more."""
    async with receiving() as receiver:
        receiver.answer = lambda _: ok(410)
        await told.endpoint(receiver.url)
        await told.ledger.charged(1)
        await told.tell()
        async with told.sending():
            await told.until({"canceled"})
        await told.ledger.charged(1)
        await told.tell()
    assert await told.ledger.rows("SELECT status, disabled_reason FROM webhook_endpoints") == [
        ("disabled", "gone")
    ]
    assert len(await told.deliveries()) == 3


async def test_after_its_time_a_delivery_has_failed(told: Told) -> None:
    """When the next try would come too late; it is in no queue any more."""
    told.limits = msgspec.structs.replace(SHORT, give_up_s=0.1)
    async with receiving() as receiver:
        receiver.answer = lambda _: ok(500)
        await told.endpoint(receiver.url, types=ONE_TYPE)
        await told.ledger.charged(1)
        await told.tell()
        async with told.sending():
            await told.until({"failed"})
    assert await told.ledger.rows("SELECT count(*) FROM webhook_queue") == [(0,)]


async def test_both_secrets_sign_while_one_is_rolled(told: Told) -> None:
    """A receiver with either of them is told; after the overlap only the new one signs."""
    new = bytes(range(32))
    async with receiving() as receiver:
        id_, old = await told.endpoint(receiver.url, types=ONE_TYPE)
        for overlap_s in (60.0, 0.0):
            await roll_secret(
                told.ledger.api,
                told.ledger.merchant_id,
                id_,
                live=False,
                sealed_secret=SEALED + secret_context(id_) + new,
                overlap_s=overlap_s,
                key_digest=told.ids.next(),
                request_hash=bytes(16),
            )
            await told.ledger.charged(1)
            await told.tell()
            async with told.sending():
                await told.until({"delivered"})
    during, after = receiver.heard
    for key in (old, new):
        Webhook(secret_text(key)).verify(during.body, during.headers)
    assert len(after.headers["webhook-signature"].split()) == 1


async def test_a_deleted_endpoint_hears_nothing(told: Told) -> None:
    """What was on its way to it is canceled."""
    async with receiving() as receiver:
        await told.endpoint(receiver.url)
        await told.ledger.charged(1)
        await told.tell()
        await told.ledger.rows("DELETE FROM webhook_endpoints RETURNING id")
        async with told.sending():
            await told.until({"canceled"})
    assert receiver.heard == []


async def test_what_a_dead_sender_held_is_due_again(told: Told) -> None:
    """A claim ends by itself; no delivery hangs on a process."""
    told.limits = msgspec.structs.replace(SHORT, claim_s=1.0, dial_timeout_s=0.1)
    async with receiving() as receiver:
        receiver.answer = lambda _: None
        await told.endpoint(receiver.url, types=ONE_TYPE)
        await told.ledger.charged(1)
        await told.tell()
        with trio.CancelScope() as death:
            async with told.sending():
                await receiver.until(1)
                death.cancel()
        receiver.answer = lambda _: ok()
        async with told.sending():
            await told.until({"delivered"})
    assert [heard.headers["webhook-id"] for heard in receiver.heard] == [
        receiver.heard[0].headers["webhook-id"]
    ] * 2


async def test_a_claim_that_ends_during_a_try_is_refused(told: Told) -> None:
    """Nothing could ever be sent, or everything twice."""
    limits = msgspec.structs.replace(QUICK, claim_s=30.0)
    with pytest.raises(ValueError, match=r"webhooks\.claim_s"):
        told.sender(limits)


async def test_a_name_that_changes_its_address_gains_nothing(told: Told) -> None:
    """Every connection asks once and goes where it looked; one bad address refuses all."""
    told.limits = SHORT
    asked = count()

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return [["10.0.0.1"], ["1.1.1.1", "127.0.0.1"], []][min(next(asked), 2)]

    async with receiving() as receiver:
        await told.endpoint("https://shop.example/hooks", types=ONE_TYPE)
        await told.ledger.charged(1)
        await told.tell()
        async with told.sending(resolve=resolve):
            with trio.fail_after(10):
                while len(await told.tries()) < 3:
                    await trio.sleep(0.01)
    assert (await told.tries())[:3] == [
        (1, None, "address_refused"),
        (2, None, "address_refused"),
        (3, None, "name_unknown"),
    ]
    assert receiver.heard == []


async def test_a_local_name_that_leads_elsewhere_is_refused(told: Told) -> None:
    """An endpoint that is allowed because it is on this machine is sent to there alone."""
    told.limits = SHORT

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return ["169.254.169.254"]

    await told.endpoint("http://localhost/hooks", types=ONE_TYPE)
    await told.ledger.charged(1)
    await told.tell()
    async with told.sending(resolve=resolve):
        with trio.fail_after(10):
            while not await told.tries():
                await trio.sleep(0.01)
    assert (await told.tries())[0] == (1, None, "address_refused")


@pytest.mark.parametrize(("name", "reason"), [("localhost", ""), ("shop.test", "tls_failed")])
async def test_tls_is_by_the_name_and_a_trusted_ca(
    told: Told, tmp_path: Path, name: str, reason: str
) -> None:
    """A certificate of another name fails, however good its CA is."""
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    told.limits = msgspec.structs.replace(SHORT, ca_file=str(tmp_path / "ca.pem"))
    async with receiving(ssl_context=context) as receiver:
        await told.endpoint(f"https://localhost:{receiver.port}/hooks", types=ONE_TYPE)
        await told.ledger.charged(1)
        await told.tell()
        async with told.sending():
            with trio.fail_after(10):
                while not await told.tries():
                    await trio.sleep(0.01)
    assert (await told.tries())[0] == (1, None if reason else 200, reason)


async def test_dead_endpoints_hold_up_nobody(told: Told) -> None:
    """Their backlog is not read, and their sockets are few: the living hear at once."""
    told.limits = msgspec.structs.replace(
        QUICK, in_flight_max=8, claims_max=32, answer_timeout_s=5.0, endpoint_in_flight_max=4
    )

    def answer(heard: Heard) -> bytes | None:
        return None if heard.target == "/dead" else ok()

    async with receiving() as receiver:
        receiver.answer = answer
        await told.endpoint(f"http://127.0.0.1:{receiver.port}/dead")
        await told.endpoint(receiver.url)
        await told.ledger.charged(20)
        await told.tell()
        with trio.fail_after(4), trio.CancelScope() as enough:
            async with told.sending():
                while True:
                    live = [heard for heard in receiver.heard if heard.target == "/hooks"]
                    if len({json.loads(heard.body)["id"] for heard in live}) == 60:
                        enough.cancel()
                    await trio.sleep(0.005)
    dead = [heard for heard in receiver.heard if heard.target == "/dead"]
    assert 1 <= len(dead) <= 4
