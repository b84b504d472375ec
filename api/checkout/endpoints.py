"""The routes of the hosted fields: scripts, the document, what browsers report."""

from __future__ import annotations

import secrets
from base64 import b64encode
from functools import partial
from typing import Final

from attrs import define, field

from api.auth.credentials import is_publishable_key
from api.auth.verify import Merchant
from api.checkout.assets import Asset, Assets, accepts_gzip, load_assets
from api.checkout.document import DEFAULT_LOCALE, HostedDocument
from api.checkout.headers import FIXED, HSTS, SHARED, content_security_policy
from api.checkout.origins import usable_origins
from api.checkout.reports import (
    REPORT_BYTES_MAX,
    TYPES,
    ReportCounts,
    ReportError,
    read_directives,
)
from api.errors import Problem, ProblemError
from api.gate import Call, delivery
from api.http.answer import JSON, Answer, Head, prepare_head
from api.merchants import MerchantDirectory
from api.query import parse_parameters, refuse_parameters

NONCE_BYTES: Final = 16
# Read as this is imported: the user that the process becomes may not be let into the program.
_ASSETS: Final = load_assets()
_SCRIPT: Final = "text/javascript; charset=utf-8"
_PACKED: Final = b"Content-Encoding: gzip\r\n"
_VARY: Final = ("Vary", "Accept-Encoding")
_CURRENT: Final = prepare_head(200, _SCRIPT, *SHARED, _VARY, cache="public, max-age=300")
_FOR_EVER: Final = prepare_head(
    200, _SCRIPT, *SHARED, _VARY, cache="public, max-age=31536000, immutable"
)
_INVENTORY: Final = prepare_head(200, JSON, _VARY, cache="public, max-age=300")
_TAKEN: Final = prepare_head(200, "text/plain; charset=utf-8")


@define
class Checkout:
    """The endpoints of the hosted fields.

    Args:
        merchants: finds who a publishable key belongs to, and which origins are theirs.
        live: the mode of this installation; keys of the other mode are unknown.
        secure: the API is reached over https.
    """

    merchants: MerchantDirectory
    live: bool
    secure: bool
    reports: ReportCounts = field(factory=ReportCounts)
    assets: Assets = _ASSETS
    _document: HostedDocument = field(init=False)
    _head: Head = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._document = HostedDocument(self.assets)
        headers = (*FIXED, HSTS) if self.secure else FIXED
        self._head = prepare_head(200, "text/html; charset=utf-8", *headers)

    def loader(self, call: Call) -> None:
        """`GET /turnout.js`: whatever is current."""
        refuse_parameters(call.query)
        name = self.assets.loader.url.rpartition("/")[2]
        _send(_CURRENT, call, self.assets.by_name[name])

    def asset(self, call: Call) -> None:
        """`GET /checkout/{asset}`: a script under the address that holds its hash."""
        refuse_parameters(call.query)
        asset = self.assets.by_name.get(call.parameter)
        if asset is None:
            raise ProblemError(Problem("not_found", "there is no such script"))
        _send(_FOR_EVER, call, asset)

    def inventory(self, call: Call) -> None:
        """`GET /checkout/inventory.json`: every script with its hash and its reason."""
        refuse_parameters(call.query)
        _send(_INVENTORY, call, self.assets.inventory)

    def fields(self, call: Call) -> None:
        """`GET /checkout/fields?key=…`: the document, framable by the key's merchant alone."""
        parameters = parse_parameters(call.query)
        if parameters.keys() - {"key", "locale"}:
            raise ProblemError(Problem("invalid_query", "there are only key and locale"))
        key = parameters.get("key", "").encode()
        write = partial(self._write, key, parameters.get("locale", DEFAULT_LOCALE))
        if not is_publishable_key(key):
            write(call, None)
            return
        now = call.exchange.arrived_at
        entry = self.merchants.recall(key, now)
        if entry is not None:
            write(call, entry.merchant)
        else:
            self.merchants.find(key, now, delivery(call, write))

    def _write(self, key: bytes, locale: str, call: Call, merchant: Merchant | None) -> None:
        origins: tuple[str, ...] = ()
        if merchant is not None and merchant.live is self.live:
            origins = usable_origins(merchant.browser_origins, live=self.live)
        nonce = b64encode(secrets.token_bytes(NONCE_BYTES)).decode("ascii")
        text = self._document.write(
            publishable_key=key.decode("ascii") if origins else "",
            locale=locale,
            origins=origins,
            nonce=nonce,
        )
        policy = content_security_policy(nonce, origins)
        extra = f"Content-Security-Policy: {policy}\r\n".encode("ascii")
        call.exchange.answer(Answer(self._head, text.encode(), extra))

    def report(self, call: Call) -> None:
        """`POST /checkout/reports`: counted, nothing else."""
        request = call.exchange.request
        content_type = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if content_type not in TYPES:
            raise ProblemError(Problem("unsupported_media_type", "reports have types of their own"))
        if len(request.body) > REPORT_BYTES_MAX:
            raise ProblemError(Problem("payload_too_large"))
        try:
            directives = read_directives(content_type, request.body)
        except ReportError:
            raise ProblemError(Problem("malformed_json", "is no report")) from None
        for directive in directives:
            self.reports.count(directive)
        call.exchange.answer(Answer(_TAKEN, b""))


def _send(head: Head, call: Call, asset: Asset) -> None:
    if accepts_gzip(call.exchange.request.headers):
        call.exchange.answer(Answer(head, asset.packed, _PACKED))
    else:
        call.exchange.answer(Answer(head, asset.text))
