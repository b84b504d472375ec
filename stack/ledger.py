"""What `turnout ledger` shows: balances, and whether the books balance."""

from __future__ import annotations

import uuid

from ledger.connection import Connection
from ledger.ids import public_id
from ledger.postings.balances import (
    Difference,
    Line,
    Totals,
    folded_differently,
    list_balances,
    totals,
    trial_balance,
)
from stack.acting import Document
from stack.running import RunningStack


async def balances(
    _stack: RunningStack, session: Connection, *, merchant_id: bytes | None
) -> Document:
    """What stands on merchants' accounts."""
    return {
        "balances": [
            {
                "merchant": public_id("mer", one.merchant_id),
                "mode": _mode(live=one.live),
                "currency": one.currency,
                "amounts": one.amounts,
            }
            for one in await list_balances(session, merchant_id)
        ]
    }


async def trial(_stack: RunningStack, session: Connection, *, full: bool) -> Document:
    """The sums of all accounts; `full` holds them to every posting besides."""
    lines = await trial_balance(session)
    sums = totals(lines)
    differences = await folded_differently(session) if full else []
    return {
        "lines": [_line(line) for line in lines],
        "totals": [_totals(one) for one in sums],
        "differences": [_difference(one) for one in differences],
        "balanced": all(one.balanced for one in sums) and not differences,
    }


def _mode(*, live: bool) -> str:
    return "live" if live else "test"


def _line(line: Line) -> Document:
    return {
        "mode": _mode(live=line.live),
        "currency": line.currency,
        "purpose": line.purpose,
        "debits": line.debits_minor,
        "credits": line.credits_minor,
        "balance": line.balance_minor,
        "accounts": line.accounts,
    }


def _totals(one: Totals) -> Document:
    return {
        "mode": _mode(live=one.live),
        "currency": one.currency,
        "memo": one.memo,
        "debits": one.debits_minor,
        "credits": one.credits_minor,
        "balanced": one.balanced,
    }


def _difference(one: Difference) -> Document:
    return {
        "account": str(uuid.UUID(bytes=one.account)),
        "debits": one.debits_minor,
        "credits": one.credits_minor,
        "posted_debits": one.posted_debits_minor,
        "posted_credits": one.posted_credits_minor,
    }
