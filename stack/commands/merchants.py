"""`turnout merchants`: merchants of the running stack, and their API keys."""

from __future__ import annotations

import json
import os
import time
import unicodedata
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import trio

from ledger.connection import Connection
from ledger.ids import UUID7Source, public_id
from ledger.merchants import (
    APIKey,
    Merchant,
    MerchantError,
    NewMerchant,
    create_merchant,
    get_merchants,
    list_api_keys,
    list_merchants,
    revoke_api_key,
)
from ledger.money import CURRENCIES
from stack.api_keys import issue_keys
from stack.commands.endings import told_in_one_line
from stack.commands.parameters import MerchantId, Text
from stack.credentials import Credentials, KeyPair, save_credentials
from stack.options import Place, settings_options
from stack.running import RunningStack, find_running

PAGE: Final = 100
_LINE: Final = r"[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*"  # any script, no control characters
T = TypeVar("T")


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
save_option = click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a credentials file (mode 0600) for `turnout sign` and `turnout pay`.",
)


@click.group()
def merchants() -> None:
    """Create merchants; list, roll, revoke keys."""


@merchants.command("create")
@click.option("--name", type=Text(100, _LINE, "one line"), required=True, help="For people.")
@click.option(
    "--country",
    type=Text(3, "[0-9]{3}", "three digits"),
    default="840",
    help="ISO 3166-1 numeric, DE 19.",
)
@click.option(
    "--currency",
    type=click.Choice(sorted(CURRENCIES)),
    metavar="CODE",
    default="usd",
    help="Of settlement.",
)
@click.option(
    "--mcc",
    type=Text(4, "[0-9]{4}", "four digits"),
    default="5999",
    help="Category code, DE 18.",
)
@click.option("--terminal-id", type=Text(8), default="00000001", help="DE 41.")
@click.option("--card-acceptor-id", type=Text(15), help="DE 42; default: made from the id.")
@click.option("--name-location", type=Text(40), help="DE 43; default: the name.")
@save_option
@json_option
@settings_options
def create(place: Place, *, save: Path | None, as_json: bool, currency: str, **about: Any) -> None:
    """Create a merchant with its first pair of keys. The secret key is shown once."""
    merchant_id = UUID7Source(lambda: time.time_ns() // 1_000, os.urandom).next()
    about["card_acceptor_id"] = about["card_acceptor_id"] or merchant_id.hex()[-15:].upper()
    about["name_location"] = about["name_location"] or _ascii(about["name"])
    merchant = NewMerchant(merchant_id=merchant_id, settlement_currency=currency, **about)

    async def act(stack: RunningStack, session: Connection) -> KeyPair:
        await create_merchant(session, merchant)
        return await issue_keys(session, stack.sealer, merchant_id, live=_is_live(stack))

    pair = _acting("create", place, act)
    _show_keys(place, merchant_id, pair, save=save, as_json=as_json)


@merchants.command("list")
@json_option
@settings_options
def list_(place: Place, *, as_json: bool) -> None:
    """List every merchant, oldest first."""

    async def act(_stack: RunningStack, session: Connection) -> list[Merchant]:
        found: list[Merchant] = []
        while page := await list_merchants(
            session, after=found[-1].merchant_id if found else bytes(16), limit=PAGE
        ):
            found += page
        return found

    found = _acting("list", place, act)
    if as_json:
        click.echo(json.dumps({"merchants": [merchant_document(each) for each in found]}, indent=2))
        return
    for merchant in found:
        click.echo(
            f"{public_id('mer', merchant.merchant_id)}  {merchant.status:<9}  {merchant.name}"
        )


@merchants.command("show")
@click.argument("merchant", type=MerchantId())
@json_option
@settings_options
def show(place: Place, *, merchant: bytes, as_json: bool) -> None:
    """Show one merchant and its keys, without secrets."""

    async def act(_stack: RunningStack, session: Connection) -> dict[str, Any]:
        found = await get_merchants(session, [merchant])
        if merchant not in found:
            raise MerchantError("there is no such merchant")
        keys = await list_api_keys(session, merchant)
        return merchant_document(found[merchant]) | {"keys": [key_document(key) for key in keys]}

    document = _acting("show", place, act)
    click.echo(json.dumps(document, indent=2) if as_json else _lines(document))


@merchants.command("roll")
@click.argument("merchant", type=MerchantId())
@save_option
@json_option
@settings_options
def roll(place: Place, *, merchant: bytes, save: Path | None, as_json: bool) -> None:
    """Give a merchant a second pair of keys; both work until the old one is revoked."""

    async def act(stack: RunningStack, session: Connection) -> KeyPair:
        return await issue_keys(session, stack.sealer, merchant, live=_is_live(stack))

    pair = _acting("roll", place, act)
    _show_keys(place, merchant, pair, save=save, as_json=as_json)


@merchants.command("revoke")
@click.argument("publishable_key")
@json_option
@settings_options
def revoke(place: Place, *, publishable_key: str, as_json: bool) -> None:
    """End a pair of keys for good; the API follows within `api.merchant_cache_s`."""

    async def act(_stack: RunningStack, session: Connection) -> None:
        await revoke_api_key(session, publishable_key)

    _acting("revoke", place, act)
    document = {"publishable_key": publishable_key, "status": "revoked"}
    click.echo(json.dumps(document, indent=2) if as_json else f"{publishable_key} is revoked")


def merchant_document(merchant: Merchant) -> dict[str, Any]:
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
        "created_at": _instant(merchant.created_at_us),
    }


def key_document(key: APIKey) -> dict[str, Any]:
    """A pair of keys without its secret."""
    return {
        "publishable_key": key.publishable_key,
        "live": key.live,
        "status": key.status,
        "created_at": _instant(key.created_at_us),
        "revoked_at": None if key.revoked_at_us is None else _instant(key.revoked_at_us),
    }


def _acting(name: str, place: Place, act: Callable[[RunningStack, Connection], Awaitable[T]]) -> T:
    """Run an action against the stack on this place."""
    with told_in_one_line(f"merchants {name}"):
        stack = find_running(place.settings, place.data_dir)
        return trio.run(partial(_with_session, stack, act))


async def _with_session(
    stack: RunningStack, act: Callable[[RunningStack, Connection], Awaitable[T]]
) -> T:
    async with stack.administration() as session:
        return await act(stack, session)


def _show_keys(
    place: Place, merchant_id: bytes, pair: KeyPair, *, save: Path | None, as_json: bool
) -> None:
    """Show new keys, and only then write them: a file that cannot be written loses nothing."""
    document = {
        "merchant": public_id("mer", merchant_id),
        "publishable_key": pair.publishable_key,
        "secret_key": pair.secret_key,
    }
    click.echo(json.dumps(document, indent=2) if as_json else _lines(document))
    click.echo("The secret key is shown this once; keep it where only your server reads.", err=True)
    if save is not None:
        with told_in_one_line("merchants"):
            stack = find_running(place.settings, place.data_dir)
            credentials = Credentials(api_url=stack.endpoints.api.url, **document)
            save_credentials(save, credentials)


def _lines(document: dict[str, Any]) -> str:
    """A document for people: one line a member, one line a key."""
    width = max(map(len, document))
    lines = []
    for name, value in document.items():
        shown = [_key_line(key) for key in value] if name == "keys" else [value]
        lines += [f"{name:<{width}}  {each}" for each in shown]
    return "\n".join(lines)


def _key_line(key: dict[str, Any]) -> str:
    mode = "live" if key["live"] else "test"
    return f"{key['publishable_key']}  {mode}  {key['status']}"


def _ascii(name: str) -> str:
    """A name as DE 43 can carry it: accents go, what has no ASCII form goes too."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return plain.upper()[:40].strip() or "MERCHANT"


def _instant(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, tz=UTC).isoformat()


def _is_live(stack: RunningStack) -> bool:
    return stack.settings.mode == "live"
