"""`turnout pay`: make one payment against the running stack, as a merchant would."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import click

from ledger.money import AMOUNT_MINOR_MAX, AMOUNT_MINOR_MIN, CURRENCIES, format_amount
from stack.commands.endings import EXIT_FAULT, told_in_one_line
from stack.commands.parameters import CardNumber
from stack.credentials import ENVIRONMENT, Credentials, find_credentials
from stack.options import Place, settings_options
from stack.payments import Payment
from stack.running import find_running
from stack.show import make_console, timeline_lines
from turnout_client import Card, PaymentIntent, Turnout, WaitTimeoutError

EXP_MONTH: Final = 12
EXP_YEAR: Final = 2030
CVC: Final = "123"


@click.command()
@click.option(
    "--amount",
    type=click.IntRange(AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX),
    default=2_499,
    show_default=True,
    help="In the currency's minor unit.",
)
@click.option(
    "--currency",
    type=click.Choice(sorted(CURRENCIES), case_sensitive=False),
    default="usd",
    metavar="CODE",
    show_default=True,
    help="ISO 4217, three letters.",
)
@click.option(
    "--card",
    type=CardNumber(),
    default="4242424242424242",
    show_default=True,
    help="A test card; `turnout cards` lists them.",
)
@click.option("--wait", is_flag=True, help="Wait until the outcome is final.")
@click.option(
    "--wait-timeout",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait at most; still undecided then: exit status 1.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--credentials",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Credentials file; default: MERCHANT_… variables, else the demo shop's.",
)
@settings_options
def pay(
    place: Place,
    *,
    amount: int,
    currency: str,
    card: str,
    wait: bool,
    wait_timeout: float,
    as_json: bool,
    credentials: Path | None,
) -> None:
    """Make one payment against the running stack.

    Exit status 1 when the card is declined, or when --wait ends without a final outcome. A payment
    whose outcome is not known yet is no failure: it is pending_verification.
    """
    with told_in_one_line("pay"):
        merchant = _merchant(place, credentials)
        payment = make_payment(
            merchant,
            amount=amount,
            currency=currency.lower(),
            card=Card(number=card, exp_month=EXP_MONTH, exp_year=EXP_YEAR, cvc=CVC),
            wait_s=wait_timeout if wait else 0.0,
        )
    if as_json:
        click.echo(json.dumps(pay_document(payment), indent=2))
    else:
        _print(payment)
    undecided = wait and not payment.intent.is_final
    sys.exit(EXIT_FAULT if payment.intent.status == "failed" or undecided else 0)


def make_payment(
    merchant: Credentials, *, amount: int, currency: str, card: Card, wait_s: float
) -> Payment:
    """Create an intent, charge it, wait up to `wait_s` for a final status; read the timeline.

    Raises:
        TurnoutError: the API refuses, or cannot be reached.
        SealError: the card cannot be one.
    """
    with Turnout(merchant.publishable_key, merchant.secret_key, merchant.api_url) as turnout:
        intent = turnout.create_payment_intent(amount, currency, description="turnout pay")
        turnout.charge(intent, card)
        intent = _wait(turnout, intent, wait_s)
        return Payment(intent, turnout.events(intent))


def _wait(turnout: Turnout, intent: PaymentIntent, wait_s: float) -> PaymentIntent:
    if wait_s:
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
        console.print(f"{intent.last_error.detail}")
