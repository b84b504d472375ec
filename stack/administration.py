"""What `turnout merchants` does to the merchants and keys of a running stack.

Every action opens one session of the role that may do it, and nothing it does needs a restart: the
API learns of new keys when it first sees them, and of revoked ones within `api.merchant_cache_s`.
"""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from api.checkout.origins import OriginError, parse_origins
from ledger.connection import Connection
from ledger.ids import UUID7Source, public_id
from ledger.merchants import (
    APIKey,
    MerchantError,
    NewMerchant,
    create_merchant,
    get_merchants,
    list_api_keys,
    list_merchants,
    revoke_api_key,
    set_browser_origins,
)
from ledger.rows import Merchant
from stack import acting
from stack.acting import Action, Document, T
from stack.api_keys import SealingError, issue_keys, save_credentials
from stack.credentials import Credentials, CredentialsError, KeyPair
from stack.endings import EXIT_FAULT, EXIT_USAGE, told_in_one_line
from stack.instants import rfc3339
from stack.options import Place
from stack.running import RunningStack, find_running
from stack.shards import tell_of_merchant

PAGE: Final = 100
EXITS: Final = acting.EXITS | {
    SealingError: EXIT_FAULT,
    CredentialsError: EXIT_FAULT,  # the file to write, once the keys are shown
    OriginError: EXIT_USAGE,
}
DE_42_MAX: Final = 15
DE_43_MAX: Final = 40


def act(name: str, place: Place, action: Action[T]) -> T:
    """Run an action on the stack of a place, as the command `merchants NAME`.

    What a user can mend is told in one line, and ends the program.
    """
    return acting.act(f"merchants {name}", place, action, EXITS)


async def create(stack: RunningStack, session: Connection, about: Document) -> Document:
    """Create a merchant with its first keys.

    Args:
        stack: whose HSM seals the secret.
        session: of role turnout_admin.
        about: the members of `NewMerchant` but for the id; DE 42 and DE 43 may be None.

    Raises:
        OriginError: one of `browser_origins` is none.
    """
    merchant_id = UUID7Source(lambda: time.time_ns() // 1_000, os.urandom).next()
    defaults = {
        "card_acceptor_id": merchant_id.hex()[-DE_42_MAX:].upper(),
        "name_location": _plain(about["name"]),
    }
    given = {name: value for name, value in about.items() if value is not None}
    given["browser_origins"] = _origins(stack, about["browser_origins"])
    await create_merchant(session, NewMerchant(merchant_id=merchant_id, **defaults | given))
    return await roll(stack, session, merchant_id)


async def roll(stack: RunningStack, session: Connection, merchant_id: bytes) -> Document:
    """Give a merchant a pair of keys; an older pair stays active.

    Raises:
        MerchantError: no such merchant, or two pairs are active.
    """
    await tell_of_merchant(stack, session, merchant_id)
    live = stack.settings.mode == "live"
    return keys_document(
        merchant_id, await issue_keys(session, stack.sealer, merchant_id, live=live)
    )


async def list_all(_stack: RunningStack, session: Connection) -> Document:
    """Every merchant, oldest first."""
    found: list[Merchant] = []
    after = bytes(16)
    while page := await list_merchants(session, after=after, limit=PAGE):
        found += page
        after = page[-1].merchant_id
    return {"merchants": [merchant_document(merchant) for merchant in found]}


async def show(_stack: RunningStack, session: Connection, merchant_id: bytes) -> Document:
    """One merchant and its keys, without secrets.

    Raises:
        MerchantError: no such merchant.
    """
    merchant = (await get_merchants(session, [merchant_id])).get(merchant_id)
    if merchant is None:
        raise MerchantError("there is no such merchant")
    keys = await list_api_keys(session, merchant_id)
    return merchant_document(merchant) | {"keys": [key_document(key) for key in keys]}


async def revoke(_stack: RunningStack, session: Connection, publishable_key: str) -> Document:
    """End a pair of keys.

    Raises:
        MerchantError: no such active key.
    """
    await revoke_api_key(session, publishable_key)
    return {"publishable_key": publishable_key, "status": "revoked"}


async def list_origins(stack: RunningStack, session: Connection, merchant_id: bytes) -> Document:
    """The origins of a merchant's pages; raises as `show`."""
    document = await show(stack, session, merchant_id)
    return {name: document[name] for name in ("merchant", "browser_origins")}


async def set_origins(
    stack: RunningStack, session: Connection, merchant_id: bytes, origins: Sequence[str]
) -> Document:
    """Put these in the place of a merchant's origins.

    Raises:
        MerchantError: no such merchant.
        OriginError: one is none, or there are too many.
    """
    await set_browser_origins(session, merchant_id, _origins(stack, origins))
    return await list_origins(stack, session, merchant_id)


def _origins(stack: RunningStack, origins: Sequence[str]) -> tuple[str, ...]:
    try:
        return parse_origins(origins, live=stack.settings.mode == "live")
    except OriginError as error:
        raise OriginError(f"an origin {error}") from None


def save_keys(place: Place, keys: Document, path: Path) -> None:
    """Write new keys as a credentials file; failures as in `act`."""
    with told_in_one_line("merchants", EXITS):
        stack = find_running(place.settings, place.data_dir)
        save_credentials(path, Credentials(api_url=stack.endpoints.api.url, **keys))


def keys_document(merchant_id: bytes, pair: KeyPair) -> Document:
    """New keys, with the secret."""
    return {
        "merchant": public_id("mer", merchant_id),
        "publishable_key": pair.publishable_key,
        "secret_key": pair.secret_key,
    }


def merchant_document(merchant: Merchant) -> Document:
    """A merchant as the CLI's JSON shows it."""
    return {
        "merchant": public_id("mer", merchant.merchant_id),
        "name": merchant.name,
        "status": merchant.status,
        "country": merchant.country,
        "settlement_currency": merchant.settlement_currency,
        "mcc": merchant.mcc,
        "terminal_id": merchant.terminal_id,
        "card_acceptor_id": merchant.card_acceptor_id,
        "name_location": merchant.name_location,
        "browser_origins": list(merchant.browser_origins),
        "created_at": rfc3339(merchant.created_at_us),
    }


def key_document(key: APIKey) -> Document:
    """A pair of keys without its secret."""
    return {
        "publishable_key": key.publishable_key,
        "live": key.live,
        "status": key.status,
        "created_at": rfc3339(key.created_at_us),
        "revoked_at": None if key.revoked_at_us is None else rfc3339(key.revoked_at_us),
    }


def _plain(name: str) -> str:
    """A name as DE 43 can carry it: accents go, and what has no ASCII form goes too."""
    ascii_ = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return ascii_.upper()[:DE_43_MAX].strip() or "MERCHANT"
