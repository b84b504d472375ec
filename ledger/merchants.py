"""Merchants, what networks are told about them, and their API keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from ledger.errors import LedgerError
from ledger.pgtypes import bool_, bytea_, int8_, text_, text_array, uuid_, uuid_array
from ledger.rows import Merchant
from ledger.statements import QUERIES, Runner

ACTIVE_KEYS_MAX: Final = 2  # of one merchant and mode: the old pair and the new, while rolling

_CREATE: Final = QUERIES["create_merchant"]
_GET: Final = QUERIES["get_merchants"]
_LIST: Final = QUERIES["list_merchants"]
_LOCK: Final = QUERIES["lock_merchant"]
_ADD_KEY: Final = QUERIES["add_api_key"]
_REVOKE_KEY: Final = QUERIES["revoke_api_key"]
_LIST_KEYS: Final = QUERIES["list_api_keys"]
_SET_ORIGINS: Final = QUERIES["set_browser_origins"]
_CREDENTIALS: Final = QUERIES["get_credentials"]


class MerchantError(LedgerError):
    """Something an operator asked for cannot be done; says what and why."""


@attrs.frozen(kw_only=True)
class NewMerchant:
    """A merchant to create; its bounds are those of the data elements."""

    merchant_id: bytes
    name: str  # up to 100 characters, for people
    country: str  # ISO 3166-1 numeric, DE 19
    settlement_currency: str  # three lower-case letters
    mcc: str  # four digits, DE 18
    terminal_id: str  # up to 8, DE 41
    card_acceptor_id: str  # up to 15, DE 42
    name_location: str  # up to 40, DE 43
    browser_origins: Sequence[str] = ()


@attrs.frozen
class APIKey:
    """A pair of keys without its secret half."""

    publishable_key: str
    live: bool
    status: str  # active | revoked
    created_at_us: int
    revoked_at_us: int | None


@attrs.frozen
class Credentials:
    """What verifying a request needs: whose key it is and every secret that may have signed."""

    publishable_key: str
    merchant_id: bytes
    live: bool
    browser_origins: Sequence[str]
    active_keys: Sequence[str]  # publishable, oldest first
    sealed_secrets: Sequence[bytes] = attrs.field(repr=False)  # of active_keys, in their order


def secret_context(publishable_key: str) -> bytes:
    """What a secret key is bound to when the HSM seals it: its publishable half.

    Whoever seals and whoever unseals must give the same; a blob moved to another row does not open.
    """
    return publishable_key.encode("ascii")


async def create_merchant(runner: Runner, merchant: NewMerchant) -> int:
    """Record a merchant; gives its creation time in microseconds. Role: turnout_admin.

    Raises:
        RowError: a value outside its bounds (`constraint` says which), or the id is taken.
    """
    result = await runner.run(
        _CREATE,
        [
            uuid_(merchant.merchant_id),
            text_(merchant.name),
            text_(merchant.country),
            text_(merchant.settlement_currency),
            text_(merchant.mcc),
            text_(merchant.terminal_id),
            text_(merchant.card_acceptor_id),
            text_(merchant.name_location),
            text_array(merchant.browser_origins),
        ],
    )
    created_at_us: int = result.column(0)[0]
    return created_at_us


async def get_merchants(runner: Runner, ids: Sequence[bytes]) -> dict[bytes, Merchant]:
    """The merchants among these ids that exist."""
    result = await runner.run(_GET, [uuid_array(ids)])
    return {row[0]: Merchant(*row) for row in result.rows()}


async def list_merchants(
    runner: Runner, *, after: bytes = bytes(16), limit: int = 100
) -> list[Merchant]:
    """Merchants in the order of their ids, which is that of their creation."""
    result = await runner.run(_LIST, [uuid_(after), int8_(limit)])
    return [Merchant(*row) for row in result.rows()]


async def set_browser_origins(runner: Runner, merchant_id: bytes, origins: Sequence[str]) -> None:
    """Put these in the place of the origins of a merchant's pages. Role: turnout_admin.

    Raises:
        MerchantError: no such merchant.
    """
    result = await runner.run(_SET_ORIGINS, [uuid_(merchant_id), text_array(origins)])
    if result.row_count == 0:
        raise MerchantError("there is no such merchant")


async def add_api_key(
    runner: Runner, merchant_id: bytes, *, live: bool, publishable_key: str, sealed_secret: bytes
) -> None:
    """Give a merchant a pair of keys, its first or the one to roll to. Role: turnout_admin.

    Raises:
        MerchantError: no such merchant, or two pairs of this mode are active already.
        RowError: the publishable key is taken, or its prefix belongs to the other mode.
    """
    locked, added = await runner.pipeline(
        [
            (_LOCK, [uuid_(merchant_id)]),
            (
                _ADD_KEY,
                [text_(publishable_key), uuid_(merchant_id), bool_(live), bytea_(sealed_secret)],
            ),
        ]
    )
    if locked.row_count == 0:
        raise MerchantError("there is no such merchant")
    if added.row_count == 0:
        raise MerchantError(
            f"{ACTIVE_KEYS_MAX} keys of this mode are active: revoke the old one before rolling"
        )


async def revoke_api_key(runner: Runner, publishable_key: str) -> None:
    """End a pair of keys for good. Role: turnout_admin.

    Raises:
        MerchantError: no such key, or it is revoked already.
    """
    if (await runner.run(_REVOKE_KEY, [text_(publishable_key)])).row_count == 0:
        raise MerchantError("there is no such active key")


async def list_api_keys(runner: Runner, merchant_id: bytes) -> list[APIKey]:
    """A merchant's keys, oldest first."""
    result = await runner.run(_LIST_KEYS, [uuid_(merchant_id)])
    return [APIKey(*row) for row in result.rows()]


async def get_credentials(
    runner: Runner, publishable_keys: Sequence[str]
) -> dict[str, Credentials]:
    """Credentials by publishable key, for active keys of active merchants. Role: turnout_api."""
    result = await runner.run(_CREDENTIALS, [text_array(publishable_keys)])
    return {row[0]: Credentials(*row) for row in result.rows()}
