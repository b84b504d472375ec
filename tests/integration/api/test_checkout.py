"""The hosted fields as browsers fetch them: who may frame them, what they may load."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence

import pytest

from api.checkout.assets import load_assets
from chassis.settings import API
from ledger.merchants import set_browser_origins
from tests.support.api import Merchant, RunningAPI, open_get, problem, running_api
from tests.support.postgres import LedgerDSN

ASSETS = load_assets()
ORIGINS = ["https://shop.example", "http://127.0.0.1:8081"]


async def ancestors(api: RunningAPI, query: str) -> str:
    """Who may frame the document."""
    answer = await api.ask(open_get(f"/checkout/fields{query}"))
    assert answer.status == 200
    found = re.search(r"frame-ancestors ([^;]+)", answer.headers["content-security-policy"])
    assert found is not None
    return found[1]


async def shop_with(api: RunningAPI, origins: Sequence[str], *, live: bool = False) -> Merchant:
    """A merchant with origins."""
    merchant = await api.add_merchant(live=live)
    await set_browser_origins(api.superuser, merchant.merchant_id, origins)
    return merchant


async def test_the_merchants_own_pages_may_frame_it(api: RunningAPI) -> None:
    """And it listens to them alone."""
    shop = await shop_with(api, ORIGINS)
    answer = await api.ask(open_get(f"/checkout/fields?key={shop.publishable_key}&locale=de"))
    assert f"frame-ancestors {' '.join(ORIGINS)};" in answer.headers["content-security-policy"]
    assert b"https://shop.example" in answer.body
    assert b'lang="de"' in answer.body
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "strict-origin"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "camera=()" in answer.headers["permissions-policy"]
    assert "x-frame-options" not in answer.headers
    assert "strict-transport-security" not in answer.headers  # this one speaks plain HTTP


async def test_a_nonce_is_used_once(api: RunningAPI) -> None:
    """It is the one in the document, and another the next time."""
    seen = set()
    for _ in range(3):
        answer = await api.ask(open_get("/checkout/fields"))
        (nonce,) = set(re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"]))
        assert set(re.findall(rb'nonce="([^"]+)"', answer.body)) == {nonce.encode()}
        seen.add(nonce)
    assert len(seen) == 3


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?key=",
        "?key=pk_test_nobody_knows",
        "?key=sk_test_x",
        "?key=pk_test_%0d%0ax",
        "?locale=de",
    ],
)
async def test_nobody_may_frame_it_for_an_unknown_merchant(api: RunningAPI, query: str) -> None:
    """Nor without one; nothing of the query is in the answer."""
    assert await ancestors(api, query) == "'none'"


async def test_a_merchant_without_origins_has_it_nowhere(api: RunningAPI) -> None:
    """Nor has one whose origins are not fit for a header."""
    for origins in ([], ["https://shop.example; script-src *"], ["*"]):
        shop = await shop_with(api, origins)
        assert await ancestors(api, f"?key={shop.publishable_key}") == "'none'"


async def test_a_key_of_the_other_mode_is_unknown(api: RunningAPI) -> None:
    """Also of a merchant that has origins."""
    shop = await shop_with(api, ["https://shop.example"], live=True)
    assert await ancestors(api, f"?key={shop.publishable_key}") == "'none'"


async def test_origins_that_were_set_since_are_taken_over(ledger_dsn: LedgerDSN) -> None:
    """Within the time that merchants are kept, though their keys have stayed the same."""
    limits = API(nonce_slots=4_096, merchant_cache_s=0.01)
    async with running_api(ledger_dsn, limits=limits) as api:
        shop = await shop_with(api, ["https://old.example"])
        assert await ancestors(api, f"?key={shop.publishable_key}") == "https://old.example"
        await set_browser_origins(api.superuser, shop.merchant_id, ["https://new.example"])
        while await ancestors(api, f"?key={shop.publishable_key}") != "https://new.example":
            pass


@pytest.mark.parametrize("query", ["?key=pk_test_x&key=pk_test_y", "?x=1", "?key=%ff"])
async def test_a_query_is_read_strictly(api: RunningAPI, query: str) -> None:
    """As everywhere."""
    answer = await api.ask(open_get(f"/checkout/fields{query}"))
    assert problem(answer)["code"] == "invalid_query"


@pytest.mark.parametrize(
    ("path", "cache"),
    [
        ("/turnout.js", "public, max-age=300"),
        (ASSETS.loader.url, "public, max-age=31536000, immutable"),
        (ASSETS.script.url, "public, max-age=31536000, immutable"),
    ],
)
async def test_scripts_are_served_for_every_origin(api: RunningAPI, path: str, cache: str) -> None:
    """Readable, so that their hash can be compared; packed for who asks."""
    answer = await api.ask(open_get(path))
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == cache
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["vary"] == "Accept-Encoding"
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
    packed = await api.ask(request.encode())
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == answer.body


@pytest.mark.parametrize("path", ["/checkout/turnout-0.js", "/checkout/..", "/checkout/fields.js"])
async def test_other_scripts_are_not_there(api: RunningAPI, path: str) -> None:
    """Names are looked up, never opened."""
    assert problem(await api.ask(open_get(path)))["code"] == "not_found"


async def test_the_inventory_is_public(api: RunningAPI) -> None:
    """Whoever watches the page compares with it."""
    answer = await api.ask(open_get("/checkout/inventory.json"))
    urls = {script["url"] for script in json.loads(answer.body)["scripts"]}
    assert urls == {ASSETS.loader.url, ASSETS.script.url}


def report(body: bytes, content_type: str = "application/reports+json") -> bytes:
    """A report as a browser posts it."""
    head = f"POST /checkout/reports HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def test_reports_are_counted(api: RunningAPI) -> None:
    """Nothing more is done with them."""
    violation = {"type": "csp-violation", "body": {"effectiveDirective": "script-src-elem"}}
    answer = await api.ask(report(json.dumps([violation, violation]).encode()))
    assert (answer.status, answer.body) == (200, b"")
    assert api.application.checkout.reports.script_src_total == 2


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"{", "application/reports+json", "malformed_json"),
        (b"[]", "application/json", "unsupported_media_type"),
        (b" " * 20_000 + b"[]", "application/reports+json", "payload_too_large"),
    ],
)
async def test_what_is_no_report_is_refused(
    api: RunningAPI, body: bytes, content_type: str, code: str
) -> None:
    """By type, by size, by form."""
    assert problem(await api.ask(report(body, content_type)))["code"] == code
