"""`GET /balance`: what stands on a merchant's accounts, per currency.

Balances are booked behind the payments, from the event stream (`ledger.postings`): a payment shows
here a moment after its answer.
"""

from __future__ import annotations

from typing import Final

import msgspec
from attrs import define

from api.gate import Call, delivery, merchant_of
from api.http.answer import JSON, Answer, prepare_head
from api.query import refuse_parameters
from api.resources import Balance, CurrencyBalance
from api.routing import Routing
from api.shard import Sums

OK: Final = prepare_head(200, JSON)

_encode = msgspec.json.Encoder().encode


@define
class Balances:
    """The endpoint.

    Args:
        routing: the shards; what each has booked is added up.
    """

    routing: Routing

    def read_balance(self, call: Call) -> None:
        """`GET /balance`."""
        refuse_parameters(call.query)
        merchant = merchant_of(call)
        wanted = (merchant.merchant_id, merchant.live)
        self.routing.read_balance(wanted, delivery(call, self._read))

    def _read(self, call: Call, sums: Sums) -> None:
        call.exchange.answer(Answer(OK, _encode(balance(sums))))


def balance(sums: Sums) -> Balance:
    """Balances as the API shows them, currencies in the order of their codes."""
    return Balance(
        data=[
            CurrencyBalance(
                currency=currency,
                amount_pending=of.get("merchant_pending", 0),
                amount_available=of.get("merchant_available", 0),
                amount_reserved=of.get("merchant_reserve", 0),
                amount_disputed=of.get("dispute_hold", 0),
                amount_in_transit=of.get("payout_in_transit", 0),
                amount_owed=of.get("merchant_receivable", 0),
                amount_held=of.get("auth_hold", 0),
            )
            for currency, of in sorted(sums.items())
        ]
    )
