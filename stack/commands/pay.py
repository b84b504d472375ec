"""`turnout pay`: make one payment against the running stack, as a merchant would."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from ledger.money import AMOUNT_MINOR_MAX, AMOUNT_MINOR_MIN, CURRENCIES
from stack.commands.parameters import CardNumber
from stack.options import Place, settings_options

APPROVED: Final = "4242424242424242"
HELD: Final = "5555555555554444"  # of the network that can hold an amount and collect it later


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
    help=f"A test card; `turnout cards` lists them.  [default: {APPROVED}; with --manual {HELD}]",
)
@click.option("--manual", is_flag=True, help="Hold the amount only; it can be captured later.")
@click.option("--partial", is_flag=True, help="Take a part where the card has no more.")
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
    card: str | None,
    manual: bool,
    partial: bool,
    wait: bool,
    wait_timeout: float,
    as_json: bool,
    credentials: Path | None,
) -> None:
    """Make one payment against the running stack.

    Exit status 1 when the card is declined, or when --wait ends without a final outcome. A payment
    whose outcome is not known yet is no failure: it is pending_verification.
    """
    from stack.paying import Order, pay_main  # noqa: PLC0415  --help must not wait for it

    order = Order(
        amount=amount,
        currency=currency.lower(),
        number=card or (HELD if manual else APPROVED),
        manual=manual,
        partial=partial,
    )
    sys.exit(
        pay_main(
            place,
            order,
            wait_s=wait_timeout if wait else 0.0,
            as_json=as_json,
            credentials=credentials,
        )
    )
