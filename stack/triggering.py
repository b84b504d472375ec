"""What `turnout trigger` does: one test payment that comes to a given event."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from stack.credentials import ENVIRONMENT, find_credentials
from stack.endings import told_in_one_line
from stack.options import Place
from stack.paying import CVC, EXITS, EXP_MONTH, EXP_YEAR
from stack.running import find_running
from turnout_client import Card, PaymentIntent, Turnout

AMOUNT_IN_CENTS: Final = 2_499
PART_IN_CENTS: Final = 500
APPROVED: Final = "4242424242424242"
HELD: Final = "5555555555554444"  # of the network that can hold an amount and collect it later
DECLINED: Final = "4000000000000002"
SILENT: Final = "4000000000006801"  # its network says nothing; an inquiry finds it approved

Payer = Callable[[Turnout], PaymentIntent]


def _create(turnout: Turnout, *, manual: bool = False) -> PaymentIntent:
    return turnout.create_payment_intent(
        AMOUNT_IN_CENTS,
        "usd",
        description="turnout trigger",
        capture_method="manual" if manual else "automatic",
    )


def _charge(turnout: Turnout, number: str, *, manual: bool = False) -> PaymentIntent:
    intent = _create(turnout, manual=manual)
    card = Card(number=number, exp_month=EXP_MONTH, exp_year=EXP_YEAR, cvc=CVC)
    turnout.charge(intent, card)
    return intent


def _cancel(turnout: Turnout) -> PaymentIntent:
    intent = _create(turnout)
    turnout.cancel(intent)
    return intent


def _refund(turnout: Turnout, amount_in_cents: int) -> PaymentIntent:
    intent = _charge(turnout, APPROVED)
    turnout.refund(intent, amount_in_cents)
    return intent


# The event's type, its prefix left out → the payment that comes to it.
TRIGGERS: Final[Mapping[str, Payer]] = MappingProxyType(
    {
        "created": _create,
        "processing": lambda turnout: _charge(turnout, APPROVED),
        "authorized": lambda turnout: _charge(turnout, HELD, manual=True),
        "succeeded": lambda turnout: _charge(turnout, APPROVED),
        "payment_failed": lambda turnout: _charge(turnout, DECLINED),
        "pending_verification": lambda turnout: _charge(turnout, SILENT),
        "canceled": _cancel,
        "partially_refunded": lambda turnout: _refund(turnout, PART_IN_CENTS),
        "refunded": lambda turnout: _refund(turnout, AMOUNT_IN_CENTS),
    }
)


def trigger(place: Place, type_: str, credentials: Path | None) -> dict[str, Any]:
    """Make the payment; the document says which, and how it stands.

    Args:
        place: the settings and the data directory.
        type_: an event's type without `payment_intent.`.
        credentials: a file, or None for the environment's or the demo shop's.
    """
    with told_in_one_line("trigger", EXITS):
        if credentials is None and not any(name in os.environ for name in ENVIRONMENT):
            find_running(place.settings, place.data_dir)
        who = find_credentials(file=credentials, environ=os.environ, data_dir=place.data_dir)
        with Turnout(who.publishable_key, who.secret_key, who.api_url) as turnout:
            intent = turnout.retrieve(TRIGGERS[type_](turnout))
    return {"type": f"payment_intent.{type_}", "intent": intent.id, "status": intent.status}
