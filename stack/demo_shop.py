"""The first merchant: a shop to try things with, on every stack in test mode.

Theory of operation. The secret key exists in the clear in one place only, the credentials file; the
ledger holds it sealed. So the file is written *before* the ledger's rows: a start that dies in
between leaves a file whose keys the ledger does not know, and the next start records just those.
The other way round a crash would leave keys that nobody has. What a start finds decides what it
does, so running it again is always safe:

    file                        ledger                          then
    keys of an active pair      knows them                      nothing, or a new address
    keys                        does not know them              record the file's keys
    absent, unreadable,         the shop or not                 make new keys; write; record
    or keys that were revoked

New keys for a shop that has two pairs already take the place of the oldest one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from attrs import frozen

from api.checkout.origins import ORIGINS_MAX
from chassis.log import get_logger
from ledger.connection import Connection
from ledger.ids import IdError, UUID7Source, parse_id, public_id
from ledger.merchants import (
    APIKey,
    NewMerchant,
    create_merchant,
    get_merchants,
    list_api_keys,
    list_merchants,
    set_browser_origins,
)
from ledger.rows import Merchant
from ledger.statements import Runner
from stack.api_keys import HSMSealer, Sealer, make_room, record_keys, save_credentials
from stack.context import StackContext
from stack.credentials import (
    DEMO_FILE,
    Credentials,
    CredentialsError,
    KeyPair,
    load_credentials,
    new_key_pair,
)
from stack.shop.keys import load_keys, save_keys, shop_keys, shop_origins

DEMO_SHOP: Final = "Demo shop"

_log = get_logger(__name__)


@frozen(kw_only=True)
class Found:
    """What a start finds.

    Attributes:
        saved: the credentials file, None if it is absent or unusable.
        merchant_id: of the shop in the ledger, None if there is none.
        keys: the shop's pairs.
    """

    saved: Credentials | None
    merchant_id: bytes | None
    keys: tuple[APIKey, ...] = ()


@frozen
class Plan:
    """The keys to have, and whether the ledger must be told of them."""

    pair: KeyPair
    record: bool


def plan_credentials(found: Found, fresh: KeyPair) -> Plan:
    """Decide which keys the shop is to have; `fresh` are new ones in case none will do."""
    if found.saved is None:
        return Plan(fresh, record=True)
    saved = KeyPair(found.saved.publishable_key, found.saved.secret_key)
    status = {key.publishable_key: key.status for key in found.keys}.get(saved.publishable_key)
    if status == "revoked":  # somebody meant it
        return Plan(fresh, record=True)
    return Plan(saved, record=status is None)


def demo_shop(merchant_id: bytes) -> NewMerchant:
    """The shop's data as the networks see them."""
    return NewMerchant(
        merchant_id=merchant_id,
        name=DEMO_SHOP,
        country="840",
        settlement_currency="usd",
        mcc="5999",
        terminal_id="DEMO0001",
        card_acceptor_id="DEMOSHOP0000001",
        name_location="DEMO SHOP              SAN FRANCISCO  US",
    )


async def provision_demo_shop(context: StackContext) -> None:
    """Have a demo shop on a stack in test mode; on a live one there is none.

    Raises:
        LedgerError: the ledger refuses.
        SealingError: the HSM does.
        CredentialsError: the credentials file cannot be written.
    """
    if context.settings.mode != "test":
        return
    sealer = HSMSealer(context.hsm_sockets[0], context.settings)
    runner = await Connection.open(
        context.admin_dsn, connect_timeout_s=context.settings.ledger.connect_timeout_s
    )
    try:
        merchant = await ensure_demo_shop(
            runner, sealer, data_dir=context.data_dir, api_url=context.api_url
        )
        if context.sockets.shop is not None:
            origins = shop_origins(context.sockets.shop.address)
            await ensure_origins(runner, merchant, origins, former=_former_origins(context))
            owner = context.users.owner("shop")
            save_keys(context.data_dir, shop_keys(merchant, origins), owner)
    finally:
        await runner.aclose()


async def ensure_demo_shop(
    runner: Runner, sealer: Sealer, *, data_dir: Path, api_url: str
) -> Credentials:
    """See that the demo shop exists, has keys, and that the credentials file holds them.

    Args:
        runner: a session of role turnout_admin.
        sealer: the HSM.
        data_dir: where the credentials file is.
        api_url: where the API is now.

    Raises:
        LedgerError: the ledger refuses.
        SealingError: the HSM does.
        CredentialsError: the file cannot be written.
    """
    path = data_dir / DEMO_FILE
    found = await _look(runner, path)
    plan = plan_credentials(found, new_key_pair(live=False, random=os.urandom))
    merchant_id = found.merchant_id or _new_merchant_id(found.saved)
    wanted = Credentials(
        merchant=public_id("mer", merchant_id),
        publishable_key=plan.pair.publishable_key,
        secret_key=plan.pair.secret_key,
        api_url=api_url,
    )
    if wanted != found.saved:
        save_credentials(path, wanted)
    if found.merchant_id is None:
        await create_merchant(runner, demo_shop(merchant_id))
    if plan.record:
        await make_room(runner, merchant_id, live=False)
        await record_keys(runner, sealer, merchant_id, plan.pair, live=False)
        _log.info("the demo shop has new keys", merchant=wanted.merchant, file=str(path))
    return wanted


async def ensure_origins(
    runner: Runner, merchant: Credentials, origins: tuple[str, ...], *, former: tuple[str, ...]
) -> None:
    """Register the shop's page where it is now, in the place of where it was.

    What an operator has registered besides stays.

    Args:
        runner: a session of role turnout_admin.
        merchant: whose shop.
        origins: where its page is.
        former: where it was at the last start.

    Raises:
        LedgerError: the ledger refuses.
    """
    merchant_id = parse_id("mer", merchant.merchant)
    found = (await get_merchants(runner, [merchant_id]))[merchant_id].browser_origins
    others = [origin for origin in found if origin not in {*origins, *former}]
    wanted = [*origins, *others][:ORIGINS_MAX]
    if wanted != list(found):
        await set_browser_origins(runner, merchant_id, wanted)


def _former_origins(context: StackContext) -> tuple[str, ...]:
    try:
        return load_keys(context.data_dir).origins
    except CredentialsError:
        return ()  # the first start, or one without a shop before


async def _look(runner: Runner, path: Path) -> Found:
    saved = _load(path)
    shop = await _find_shop(runner, saved)
    if shop is None:
        return Found(saved=saved, merchant_id=None)
    keys = await list_api_keys(runner, shop.merchant_id)
    return Found(saved=saved, merchant_id=shop.merchant_id, keys=tuple(keys))


def _load(path: Path) -> Credentials | None:
    if not path.exists():
        return None
    try:
        saved = load_credentials(path)
        parse_id("mer", saved.merchant)
    except (CredentialsError, IdError) as error:
        _log.warning("the credentials file is unusable and will be replaced", reason=str(error))
        return None
    return None if saved.live else saved


async def _find_shop(runner: Runner, saved: Credentials | None) -> Merchant | None:
    """The merchant that the file names, else the oldest one with the shop's name."""
    if saved is not None:
        named = parse_id("mer", saved.merchant)
        if shop := (await get_merchants(runner, [named])).get(named):
            return shop
    after = bytes(16)
    while page := await list_merchants(runner, after=after):
        for merchant in page:
            if merchant.name == DEMO_SHOP:
                return merchant
        after = page[-1].merchant_id
    return None


def _new_merchant_id(saved: Credentials | None) -> bytes:
    if saved is not None:
        return parse_id("mer", saved.merchant)
    return UUID7Source(lambda: time.time_ns() // 1_000, os.urandom).next()
