"""A look at the card fields from outside finds whatever was changed on the way."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable

import pytest
import trio
from attrs import define

from ledger.merchants import set_browser_origins
from stack.checkout_watch import Finding, Watch, watch
from tests.support.api import Merchant, RunningAPI, running_api
from tests.support.postgres import LedgerDSN
from turnout_client.on_trio import TrioTransport
from turnout_client.protocol import Address, Answer, Lost, Request

ORIGINS = ("https://shop.example", "http://127.0.0.1:8081")
Change = Callable[[str, Answer], Answer | Lost]


@define
class Served:
    """An api, and a merchant whose pages may frame the card fields."""

    api: RunningAPI
    shop: Merchant

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.api.port}"

    async def look(self, change: Change, *, origins: tuple[str, ...] = ORIGINS) -> list[Finding]:
        """What is found where somebody in between changes answers."""
        address = Address.parse(self.url)
        transport = TrioTransport(address, timeout_s=5, tls=None, connections_max=1)

        async def fetch(target: str) -> Answer | Lost:
            headers = (("Host", address.host_header),)
            request = Request(method="GET", target=target, headers=headers, body=b"")
            answer = await transport.send(request)
            assert isinstance(answer, Answer)
            return change(target.partition("?")[0], answer)

        look = Watch(fetch, secure=False, key=self.shop.publishable_key, origins=origins)
        try:
            return await look.look()
        finally:
            await transport.aclose()


@pytest.fixture
async def served(ledger_dsn: LedgerDSN) -> AsyncIterator[Served]:
    """An api with such a merchant."""
    async with running_api(ledger_dsn) as api:
        await set_browser_origins(api.superuser, api.shop.merchant_id, ORIGINS)
        yield Served(api, api.shop)


def replaced(answer: Answer, body: bytes | None = None, **headers: str | None) -> Answer:
    """An answer with another body or other headers; None takes one away."""
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    merged = {name: value for name, value in (dict(answer.headers) | changed).items() if value}
    return Answer(status=answer.status, headers=merged, body=answer.body if body is None else body)


async def test_what_is_as_it_was_made_is_found_so(served: Served) -> None:
    """For a merchant, with its origins known or not, and for nobody."""
    assert await served.look(lambda _path, answer: answer) == []
    for key, origins, framed in (
        (served.shop.publishable_key, ORIGINS, list(ORIGINS)),
        (served.shop.publishable_key, None, list(ORIGINS)),
        ("", None, []),
    ):
        document = await watch(served.url, key=key, origins=origins)
        assert document == {
            "ok": True, "url": served.url, "frame_ancestors": framed, "findings": [],
        }  # fmt: skip


@pytest.mark.parametrize(
    ("where", "change", "detail"),
    [
        ("/turnout.js", lambda a: replaced(a, a.body + b" "), "is another script"),
        ("/turnout.js", lambda a: replaced(a, x_content_type_options=None), "has no X-Content"),
        ("/checkout/inventory.json", lambda a: replaced(a, b"{}"), "is another one"),
        ("/checkout/fields", lambda a: replaced(a, a.body + b"<script>"), "is another document"),
        (
            "/checkout/fields",
            lambda a: replaced(a, a.body.replace(b"shop.example", b"evil.example")),
            "is another document",
        ),
        (
            "/checkout/fields",
            lambda a: replaced(a, cache_control="max-age=60"),
            "has another Cache",
        ),
        ("/checkout/fields", lambda a: replaced(a, permissions_policy=None), "has no Permissions"),
        ("/checkout/fields", lambda a: replaced(a, set_cookie="a=b"), "is not ours: set-cookie"),
        (
            "/checkout/fields",
            lambda a: replaced(a, content_security_policy=None),
            "has another Content-Security-Policy",
        ),
        (
            "/checkout/fields",
            lambda a: replaced(
                a,
                content_security_policy=a.headers["content-security-policy"].replace(
                    "frame-ancestors", "frame-ancestors https://evil.example"
                ),
            ),
            "has another Content-Security-Policy",
        ),
        ("/turnout.js", lambda _: Lost("no answer"), "did not come"),
        (
            "/turnout.js",
            lambda a: Answer(status=404, headers=a.headers, body=b""),
            "is answered with 404",
        ),
    ],
)
async def test_what_was_changed_is_found(
    served: Served, where: str, change: Callable[[Answer], Answer | Lost], detail: str
) -> None:
    """A byte, a header, an origin: wherever it is."""
    found = await served.look(lambda path, answer: change(answer) if path == where else answer)
    assert any(each.where == where and detail in each.detail for each in found), found


async def test_an_origin_too_many_is_found(served: Served) -> None:
    """Where the caller says which there are to be."""
    found = await served.look(lambda _path, answer: answer, origins=ORIGINS[:1])
    assert Finding("/checkout/fields", "has another Content-Security-Policy") in found


async def test_the_command_tells_and_ends_as_it_found(served: Served) -> None:
    """0 all is well, 1 something is not, 2 no address."""
    command = [sys.executable, "-P", "-m", "turnout", "checkout", "verify"]
    ends = []
    for arguments in (
        [served.url, "--key", served.shop.publishable_key, "--json"],
        [served.url, "--key", served.shop.publishable_key, "--origin", "https://other.example"],
        ["nowhere"],
    ):
        done = await trio.run_process(
            [*command, *arguments], capture_stdout=True, capture_stderr=True, check=False
        )
        ends.append((done.returncode, done.stdout.decode()))
    assert [status for status, _ in ends] == [0, 1, 2]
    assert json.loads(ends[0][1])["frame_ancestors"] == list(ORIGINS)
    assert "NOT ok" in ends[1][1]
