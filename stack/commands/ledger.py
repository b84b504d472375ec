"""`turnout ledger`: balances, whether the books balance; backups."""

from __future__ import annotations

import json
import sys
from functools import partial

import click

from stack.commands.ledger_backup import backup, restore
from stack.commands.operating import json_option
from stack.commands.parameters import PublicId
from stack.options import Place, settings_options


@click.group()
def ledger() -> None:
    """Show balances; see that the books balance; back up, restore."""


ledger.add_command(backup)
ledger.add_command(restore)


@ledger.command("balance")
@click.argument("merchant", type=PublicId("mer"), required=False)
@json_option
@settings_options
def balance(place: Place, *, merchant: bytes | None, as_json: bool) -> None:
    """Show what stands on the accounts of a merchant, or of all: on each shard, and together."""
    from stack import ledger as books  # noqa: PLC0415  when called: --help must not wait
    from stack.shards import act_on_all  # noqa: PLC0415

    action = partial(books.balances, merchant_id=merchant)
    document = act_on_all("ledger balance", place, action)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    from stack import show_ledger  # noqa: PLC0415

    show_ledger.balances(document)


@ledger.command("trial-balance")
@click.option("--full", is_flag=True, help="Read every posting, and hold the sums to them.")
@json_option
@settings_options
def trial_balance(place: Place, *, full: bool, as_json: bool) -> None:
    """Sum all accounts: debits equal credits on every shard, or the status is 1."""
    from stack import ledger as books  # noqa: PLC0415
    from stack.endings import EXIT_FAULT  # noqa: PLC0415
    from stack.shards import act_on_all  # noqa: PLC0415

    document = act_on_all("ledger trial-balance", place, partial(books.trial, full=full))
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        from stack import show_ledger  # noqa: PLC0415

        show_ledger.trial(document)
    if not document["balanced"]:
        sys.exit(EXIT_FAULT)
