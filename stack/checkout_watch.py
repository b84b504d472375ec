"""Whether browsers get the hosted card fields as they were made (PCI DSS 11.6.1).

What a browser is given passes servers, proxies and caches that are not ours. So it is fetched as a
browser would fetch it and held to what this program brings: every script to its hash, the document
to the byte (but for its nonce, which must be the one in the policy), every header that protects it
to its value. It is meant to be run at intervals, from elsewhere, by a program that was installed
from a trusted place; it needs no stack.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from attrs import asdict, define, field, frozen

from api.checkout.assets import Assets, integrity_of, load_assets
from api.checkout.document import DEFAULT_LOCALE, HostedDocument
from api.checkout.headers import FIXED, HSTS, SHARED, content_security_policy
from api.checkout.origins import usable_origins
from turnout_client.on_trio import TrioTransport
from turnout_client.protocol import Address, Answer, Lost, Request

TIMEOUT_S: Final = 20.0
_NONCE: Final = re.compile(r"script-src 'nonce-([A-Za-z0-9+/=]{22,})'")
_ANCESTORS: Final = re.compile(r"frame-ancestors ([^;]*)")
# What nobody in between may add: a cookie has no business here, and the other undoes the policy.
_UNWANTED: Final = ("set-cookie", "x-frame-options")
_EVERYWHERE: Final = (("X-Content-Type-Options", "nosniff"),)

Fetch = Callable[[str], Awaitable[Answer | Lost]]


@frozen
class Finding:
    """Something that is not as it was made."""

    where: str  # path
    detail: str


@define
class Watch:
    """One look at everything.

    Args:
        fetch: gets what stands at a path.
        secure: it is reached over https.
        key: whose document to look at; empty = nobody's, which nobody may frame.
        origins: the merchant's, where they are known; None = whichever are there.
    """

    fetch: Fetch
    secure: bool
    key: str = ""
    origins: Sequence[str] | None = None
    findings: list[Finding] = field(factory=list)
    seen_origins: tuple[str, ...] = ()
    _assets: Assets = field(factory=load_assets)

    async def look(self) -> list[Finding]:
        """Fetch and compare everything; gives what was found."""
        await self._script("/turnout.js", self._assets.loader.integrity)
        for script in (self._assets.loader, self._assets.script):
            await self._script(script.url, script.integrity)
        inventory = await self._get("/checkout/inventory.json", _EVERYWHERE)
        if inventory is not None and inventory.body != self._assets.inventory.text:
            self._find("/checkout/inventory.json", "is another one")
        await self._document()
        return self.findings

    async def _script(self, path: str, integrity: str) -> None:
        answer = await self._get(path, (*SHARED, *_EVERYWHERE))
        if answer is not None and integrity_of(answer.body) != integrity:
            self._find(path, f"is another script than {integrity}")

    async def _document(self) -> None:
        path = "/checkout/fields"
        target = f"{path}?{urlencode({'key': self.key})}" if self.key else path
        wanted = (*FIXED, *_EVERYWHERE, ("Cache-Control", "no-store"))
        answer = await self._get(path, (*wanted, HSTS) if self.secure else wanted, target)
        if answer is None:
            return
        policy = answer.headers.get("content-security-policy", "")
        nonce, self.seen_origins = _nonce_of(policy), _origins_of(policy)
        origins = self.seen_origins if self.origins is None else tuple(self.origins)
        if policy != content_security_policy(nonce, origins):
            self._find(path, "has another Content-Security-Policy")
        document = HostedDocument(self._assets).write(
            publishable_key=self.key if origins else "",
            locale=DEFAULT_LOCALE,
            origins=origins,
            nonce=nonce,
        )
        if answer.body != document.encode():
            self._find(path, "is another document")

    async def _get(
        self, path: str, headers: Sequence[tuple[str, str]], target: str = ""
    ) -> Answer | None:
        answer = await self.fetch(target or path)
        if isinstance(answer, Lost):
            self._find(path, f"did not come: {answer.reason}")
            return None
        if answer.status != 200:
            self._find(path, f"is answered with {answer.status}")
            return None
        for fault in _faults(answer.headers, headers):
            self._find(path, fault)
        return answer

    def _find(self, where: str, detail: str) -> None:
        self.findings.append(Finding(where, detail))


def _faults(sent: Mapping[str, str], wanted: Sequence[tuple[str, str]]) -> Iterator[str]:
    for name, value in wanted:
        found = sent.get(name.lower())
        if found is None:
            yield f"has no {name}"
        elif found != value:
            yield f"has another {name}"
    for name in _UNWANTED:
        if name in sent:
            yield f"has a header that is not ours: {name}"


def _nonce_of(policy: str) -> str:
    found = _NONCE.search(policy)
    return found[1] if found else ""


def _origins_of(policy: str) -> tuple[str, ...]:
    found = _ANCESTORS.search(policy)
    return usable_origins(found[1].split(), live=False) if found else ()


async def watch(url: str, *, key: str, origins: Sequence[str] | None) -> dict[str, Any]:
    """Look at the card fields of an API, as a document for `--json`.

    Raises:
        ValueError: `url` is none.
    """
    address = Address.parse(url)
    transport = TrioTransport(address, timeout_s=TIMEOUT_S, tls=None, connections_max=1)

    async def fetch(target: str) -> Answer | Lost:
        headers = (("Host", address.host_header), ("Accept-Encoding", "identity"))
        return await transport.send(Request(method="GET", target=target, headers=headers, body=b""))

    try:
        look = Watch(fetch, address.secure, key, origins)
        findings = await look.look()
    finally:
        await transport.aclose()
    return {
        "ok": not findings,
        "url": url,
        "frame_ancestors": list(look.seen_origins),
        "findings": [asdict(finding) for finding in findings],
    }
