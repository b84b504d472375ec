"""What depends on how the API is run: TLS, and the mode."""

from __future__ import annotations

from typing import Any, cast

import pytest
from attrs import define, field

from api.auth.verify import Merchant
from api.checkout.endpoints import Checkout
from api.gate import Call
from api.http.answer import Answer
from api.http.exchange import Exchange
from api.http.parser import Request
from api.merchants import Entry, MerchantDirectory
from api.routes import GET_FIELDS

KEY = b"pk_live_shop"
ORIGINS = ("https://shop.example", "http://127.0.0.1:8081")


@define
class Directory:
    """Knows one merchant."""

    live: bool

    def recall(self, key: bytes, _now: float) -> Entry | None:
        """The merchant, whatever the key."""
        return Entry(Merchant(bytes(16), key, self.live, (), ORIGINS), 0.0)


@define
class Replies:
    """Takes answers."""

    taken: list[Answer] = field(factory=list)

    def answered(self, _exchange: Exchange, answer: Answer) -> bool:
        """Keep it."""
        self.taken.append(answer)
        return True


def document(*, secure: bool, live: bool, merchant_live: bool) -> tuple[str, str]:
    """Every header of the document, and the document."""
    checkout = Checkout(
        cast("MerchantDirectory", Directory(merchant_live)), live=live, secure=secure
    )
    replies = Replies()
    request = Request(b"GET", b"/checkout/fields", {}, b"", keep_alive=True)
    exchange = Exchange(cast("Any", replies), request, bytes(16), 0.0, last=False)
    checkout.fields(Call(exchange, GET_FIELDS, "", b"key=" + KEY))
    (answer,) = replies.taken
    return (answer.head.lines + answer.extra).decode(), answer.body.decode()


def test_over_tls_it_says_that_there_is_nothing_else() -> None:
    """And without TLS it says nothing of the kind, which browsers would not believe anyway."""
    headers, _ = document(secure=True, live=True, merchant_live=True)
    assert "Strict-Transport-Security: max-age=63072000; includeSubDomains; preload\r\n" in headers
    headers, _ = document(secure=False, live=True, merchant_live=True)
    assert "Strict-Transport-Security" not in headers


def test_in_live_mode_a_page_without_tls_may_not_frame_it() -> None:
    """Though it stands in the ledger; the others may."""
    headers, text = document(secure=True, live=True, merchant_live=True)
    assert "frame-ancestors https://shop.example;" in headers
    assert "127.0.0.1" not in text
    headers, _ = document(secure=True, live=False, merchant_live=False)
    assert f"frame-ancestors {' '.join(ORIGINS)};" in headers


@pytest.mark.parametrize("live", [True, False])
def test_a_merchants_key_of_the_other_mode_frames_nothing(live: bool) -> None:  # noqa: FBT001
    """And the document says nothing of the merchant."""
    headers, text = document(secure=True, live=live, merchant_live=not live)
    assert "frame-ancestors 'none';" in headers
    assert KEY.decode() not in text
    assert "shop.example" not in text
