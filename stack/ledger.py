"""What `turnout ledger` shows: balances, and whether the books balance; over all shards.

Every shard keeps books of its own, which balance by themselves: no posting has its two sides on
two of them. A merchant's accounts may stand on several, and add up.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from ledger.connection import Connection
from ledger.ids import public_id
from ledger.postings.balances import (
    Difference,
    Line,
    MerchantBalance,
    Totals,
    folded_differently,
    list_balances,
    totals,
    trial_balance,
)
from stack.acting import Document


async def balances(sessions: Sequence[Connection], *, merchant_id: bytes | None) -> Document:
    """What stands on merchants' accounts: on each shard, and together."""
    found = [await list_balances(session, merchant_id) for session in sessions]
    return {
        "balances": _balances(added_balances(found)),
        "shards": [{"shard": number, "balances": _balances(of)} for number, of in enumerate(found)],
    }


async def trial(sessions: Sequence[Connection], *, full: bool) -> Document:
    """The sums of all accounts; `full` holds them to every posting besides.

    Balanced is what balances on every shard by itself.
    """
    found = [await trial_balance(session) for session in sessions]
    differences = [await folded_differently(session) if full else [] for session in sessions]
    shards = [
        {"shard": number} | _trial(lines, of)
        for number, (lines, of) in enumerate(zip(found, differences, strict=True))
    ]
    together = _trial(added_lines(found), [one for of in differences for one in of])
    return together | {"balanced": all(one["balanced"] for one in shards), "shards": shards}


def added_balances(of_shards: Sequence[Sequence[MerchantBalance]]) -> list[MerchantBalance]:
    """The balances of all shards added up, by merchant, mode and currency."""
    total: dict[tuple[bytes, bool, str], dict[str, int]] = {}
    for one in (one for of in of_shards for one in of):
        amounts = total.setdefault((one.merchant_id, one.live, one.currency), {})
        for purpose, amount_minor in one.amounts.items():
            amounts[purpose] = amounts.get(purpose, 0) + amount_minor
    return [MerchantBalance(*key, amounts) for key, amounts in sorted(total.items())]


def added_lines(of_shards: Sequence[Sequence[Line]]) -> list[Line]:
    """The lines of all shards added up, by mode, currency and purpose."""
    total: dict[tuple[bool, str, str], tuple[int, int, int]] = {}
    for line in (line for of in of_shards for line in of):
        key = (line.live, line.currency, line.purpose)
        debits, credits_, accounts = total.get(key, (0, 0, 0))
        total[key] = (
            debits + line.debits_minor,
            credits_ + line.credits_minor,
            accounts + line.accounts,
        )
    return [Line(*key, *sums) for key, sums in total.items()]


def _trial(lines: list[Line], differences: list[Difference]) -> Document:
    sums = totals(lines)
    return {
        "lines": [_line(line) for line in lines],
        "totals": [_totals(one) for one in sums],
        "differences": [_difference(one) for one in differences],
        "balanced": all(one.balanced for one in sums) and not differences,
    }


def _balances(found: Sequence[MerchantBalance]) -> list[Document]:
    return [
        {
            "merchant": public_id("mer", one.merchant_id),
            "mode": _mode(live=one.live),
            "currency": one.currency,
            "amounts": one.amounts,
        }
        for one in found
    ]


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
