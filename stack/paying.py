"""What `turnout pay` does: one payment, as a merchant's server would make it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import click
from attrs import frozen

from ledger.money import format_amount
from stack.credentials import ENVIRONMENT, Credentials, CredentialsError, find_credentials
from stack.endings import EXIT_FAULT, EXIT_USAGE, told_in_one_line
from stack.endpoints import NotRunningError
from stack.options import EXIT_CANNOT_START, Place
from stack.payments import Payment
from stack.running import find_running
from stack.show import make_console, timeline_lines
from turnout_client import (
    Card,
    ConnectionLostError,
    PaymentIntent,
    SealError,
    Turnout,
    TurnoutError,
    WaitTimeoutError,
)

EXP_MONTH: Final = 12
EXP_YEAR: Final = 2030
CVC: Final = "123"


class UnheardError(Exception):
    """A payment was begun, and then its API fell silent: what became of it is not known here."""

    def __init__(self, intent_id: str, api_url: str, reason: Exception) -> None:
        super().__init__(f"{intent_id}: no answer from {api_url}: {reason}; {_look_up(intent_id)}")


def _look_up(intent_id: str) -> str:
    return f"to see what became of it: turnout sign GET /payment-intents/{intent_id} --curl | sh"


EXITS: Final = {
    UnheardError: EXIT_FAULT,
    NotRunningError: EXIT_CANNOT_START,
    CredentialsError: EXIT_CANNOT_START,
    ConnectionLostError: EXIT_CANNOT_START,
    SealError: EXIT_USAGE,
    TurnoutError: EXIT_FAULT,
}


@frozen(kw_only=True)
class Order:
    """What to pay, and how.

    Attributes:
        amount: in minor units.
        currency: three lower-case letters.
        number: of the card; expiry and CVC may be anything valid.
        manual: authorize only, to be captured later.
        partial: take a part where the card has no more.
    """

    amount: int
    currency: str
    number: str
    manual: bool
    partial: bool


def pay_main(
    place: Place,
    order: Order,
    *,
    wait_s: float,
    as_json: bool,
    credentials: Path | None,
) -> int:
    """Pay and print.

    Args:
        place: the settings and the data directory.
        order: what to pay.
        wait_s: how long to wait for a final outcome; 0 = take what the charge answers.
        as_json: print a document instead of a timeline.
        credentials: a file, or None for the environment's or the demo shop's.

    Returns:
        The exit status: 1 when declined, or when waiting ended without a final outcome.
    """
    with told_in_one_line("pay", EXITS):
        payment = make_payment(_merchant(place, credentials), order, wait_s=wait_s)
    if as_json:
        click.echo(json.dumps(pay_document(payment), indent=2))
    else:
        _print(payment)
    intent = payment.intent
    undecided = wait_s > 0 and not intent.is_final
    return EXIT_FAULT if intent.status == "failed" or undecided else 0


def make_payment(merchant: Credentials, order: Order, *, wait_s: float) -> Payment:
    """Create an intent, charge it, wait up to `wait_s` for a final status; read the timeline.

    Raises:
        TurnoutError: the API refuses, or cannot be reached, and nothing was charged.
        UnheardError: it could be reached at first, and then no more.
        KeyboardInterrupt: Ctrl-C; the payment's id is told if there is one.
        SealError: the card cannot be one.
    """
    with Turnout(merchant.publishable_key, merchant.secret_key, merchant.api_url) as turnout:
        intent = turnout.create_payment_intent(
            order.amount,
            order.currency,
            description="turnout pay",
            capture_method="manual" if order.manual else "automatic",
            allow_partial_authorization=order.partial,
        )
        card = Card(number=order.number, exp_month=EXP_MONTH, exp_year=EXP_YEAR, cvc=CVC)
        try:
            turnout.charge(intent, card)
            intent = _wait(turnout, intent, wait_s)
            return Payment(intent, turnout.events(intent))
        except ConnectionLostError as error:
            raise UnheardError(intent.id, merchant.api_url, error) from error
        except KeyboardInterrupt:
            click.echo(f"\nturnout pay: {intent.id} was begun; {_look_up(intent.id)}", err=True)
            raise


def _wait(turnout: Turnout, intent: PaymentIntent, wait_s: float) -> PaymentIntent:
    if wait_s > 0:
        try:
            return turnout.wait(intent, timeout_s=wait_s)
        except WaitTimeoutError as error:
            click.echo(f"turnout pay: {error}", err=True)
    return turnout.retrieve(intent)


def _merchant(place: Place, file: Path | None) -> Credentials:
    """Who pays: the demo shop of the stack that runs here, unless somebody else is named."""
    if file is None and not any(name in os.environ for name in ENVIRONMENT):
        find_running(place.settings, place.data_dir)
    return find_credentials(file=file, environ=os.environ, data_dir=place.data_dir)


def pay_document(payment: Payment) -> dict[str, Any]:
    """What `turnout pay --json` prints."""
    intent = payment.intent
    error = intent.last_error
    return {
        **payment.document(),
        "amount_in_cents": intent.amount_in_cents,
        "currency": intent.currency,
        "amount_capturable": intent.amount_capturable,
        "amount_captured": intent.amount_captured,
        "decline_code": error.decline_code if error else None,
        "advice": error.advice if error else None,
        "timeline": [
            {
                "sequence": event.sequence,
                "at": event.at.isoformat(),
                "actor": event.actor,
                "type": event.type,
                "transaction": event.transaction,
            }
            for event in payment.events
        ],
    }


def _print(payment: Payment) -> None:
    console, intent = make_console(), payment.intent
    amount = format_amount(intent.amount_in_cents, intent.currency)
    console.print(f"{intent.id}  {amount}  {intent.status}")
    for line in timeline_lines(payment):
        console.print(f"  {line}", soft_wrap=True)
    if intent.last_error is not None:
        console.print(intent.last_error.detail)
    if intent.amount_capturable:
        held = format_amount(intent.amount_capturable, intent.currency)
        console.print(f"{held} can be captured until {intent.capture_before:%Y-%m-%d %H:%M:%S} UTC")
    elif 0 < intent.amount_captured < intent.amount_in_cents:
        console.print(f"{format_amount(intent.amount_captured, intent.currency)} of it was paid")
