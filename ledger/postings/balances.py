"""Reading what stands on the accounts: one merchant's, or everybody's as a trial balance."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ledger.pgtypes import bool_, int8_, uuid_
from ledger.postings.accounts import PURPOSES, balance
from ledger.statements import QUERIES, Runner

DIFFERENCES_MAX: Final = 100  # accounts named of those that are folded wrongly
ROWS_MAX: Final = 10_000  # accounts that one list of balances is made of
_MERCHANT: Final = QUERIES["merchant_balance"]
_LIST: Final = QUERIES["list_balances"]
_TRIAL: Final = QUERIES["trial_balance"]
_DIFFERENT: Final = QUERIES["folded_differently"]


class Line(Struct, frozen=True):
    """One purpose's sums in one mode and currency."""

    live: bool
    currency: str
    purpose: str
    debits_minor: int
    credits_minor: int
    accounts: int

    @property
    def balance_minor(self) -> int:
        """Seen from the side on which it grows."""
        return balance(self.purpose, self.debits_minor, self.credits_minor)


class Totals(Struct, frozen=True):
    """Debits and credits of one mode and currency, money and memo apart."""

    live: bool
    currency: str
    memo: bool
    debits_minor: int
    credits_minor: int

    @property
    def balanced(self) -> bool:
        """Whether debits equal credits."""
        return self.debits_minor == self.credits_minor


class MerchantBalance(Struct, frozen=True):
    """What stands on one merchant's accounts, in one mode and currency."""

    merchant_id: bytes
    live: bool
    currency: str
    amounts: dict[str, int]  # by purpose


class Difference(Struct, frozen=True):
    """An account whose sums are not those of its postings."""

    account: bytes
    debits_minor: int
    credits_minor: int
    posted_debits_minor: int
    posted_credits_minor: int


async def merchant_balance(
    runner: Runner, merchant_id: bytes, *, live: bool
) -> dict[str, dict[str, int]]:
    """Balances by currency and purpose; empty where nothing was ever booked.

    Roles: turnout_api, turnout_reader, turnout_admin.
    """
    found: dict[str, dict[str, int]] = {}
    rows = (await runner.run(_MERCHANT, [uuid_(merchant_id), bool_(live)])).rows()
    for purpose, currency, debits_minor, credits_minor in rows:
        amount_minor = balance(purpose, debits_minor, credits_minor)
        found.setdefault(currency, {})[purpose] = amount_minor
    return found


async def list_balances(runner: Runner, merchant_id: bytes | None) -> list[MerchantBalance]:
    """Balances of one merchant, or of all; of at most `ROWS_MAX` accounts.

    Roles: turnout_reader, turnout_admin.
    """
    params = [None if merchant_id is None else uuid_(merchant_id), int8_(ROWS_MAX)]
    found: dict[tuple[bytes, bool, str], dict[str, int]] = {}
    for merchant, live, currency, purpose, *sums in (await runner.run(_LIST, params)).rows():
        amounts = found.setdefault((merchant, live, currency), {})
        amounts[purpose] = balance(purpose, *sums)
    return [MerchantBalance(*key, amounts) for key, amounts in found.items()]


async def trial_balance(runner: Runner) -> list[Line]:
    """Every purpose's sums. Roles: turnout_postings, turnout_reader, turnout_admin."""
    return [Line(*row) for row in (await runner.run(_TRIAL)).rows()]


def totals(lines: list[Line]) -> list[Totals]:
    """Debits and credits by mode, currency, and whether they are memo."""
    sums: dict[tuple[bool, str, bool], tuple[int, int]] = {}
    for line in lines:
        key = (line.live, line.currency, PURPOSES[line.purpose].memo)
        debits_minor, credits_minor = sums.get(key, (0, 0))
        sums[key] = (debits_minor + line.debits_minor, credits_minor + line.credits_minor)
    return [Totals(*key, *sides) for key, sides in sorted(sums.items())]


async def folded_differently(runner: Runner) -> list[Difference]:
    """Accounts whose sums are not those of their postings; reads every posting.

    Roles: turnout_reader, turnout_admin.
    """
    rows = (await runner.run(_DIFFERENT, [int8_(DIFFERENCES_MAX)])).rows()
    return [Difference(*row) for row in rows]
