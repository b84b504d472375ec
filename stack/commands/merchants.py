"""`turnout merchants`: merchants of the running stack, their API keys and their origins."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from ledger.money import CURRENCIES
from stack.commands.parameters import LINE, PublicId, Text, writable
from stack.options import Place, settings_options

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
save_option = click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=writable,
    help="Also write a credentials file (mode 0600) for `turnout sign` and `turnout pay`.",
)


@click.group()
def merchants() -> None:
    """Create merchants; list, roll, revoke keys."""


@merchants.command("create")
@click.option(
    "--name", type=Text(100, LINE, "one line that is not empty"), required=True, help="For people."
)
@click.option(
    "--country",
    type=Text(3, "[0-9]{3}", "three digits"),
    default="840",
    show_default=True,
    help="ISO 3166-1 numeric, DE 19.",
)
@click.option(
    "--currency",
    "settlement_currency",
    type=click.Choice(sorted(CURRENCIES)),
    metavar="CODE",
    default="usd",
    show_default=True,
    help="Of settlement.",
)
@click.option(
    "--mcc",
    type=Text(4, "[0-9]{4}", "four digits"),
    default="5999",
    show_default=True,
    help="Category code, DE 18.",
)
@click.option("--terminal-id", type=Text(8), default="00000001", show_default=True, help="DE 41.")
@click.option("--card-acceptor-id", type=Text(15), help="DE 42; default: made from the id.")
@click.option("--name-location", type=Text(40), help="DE 43; default: the name.")
@click.option(
    "--origin",
    "browser_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Of pages that show the card fields, like https://shop.example. May be repeated.",
)
@save_option
@json_option
@settings_options
def create(place: Place, *, save: Path | None, as_json: bool, **about: Any) -> None:
    """Create a merchant with its first pair of keys. The secret key is shown once."""
    from stack import administration  # noqa: PLC0415  when called: --help must not wait for it

    keys = administration.act("create", place, partial(administration.create, about=about))
    _show_keys(place, keys, save=save, as_json=as_json)


@merchants.command("list")
@json_option
@settings_options
def list_(place: Place, *, as_json: bool) -> None:
    """List every merchant, oldest first."""
    from stack import administration  # noqa: PLC0415

    document = administration.act("list", place, administration.list_all)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    for merchant in document["merchants"]:
        click.echo(f"{merchant['merchant']}  {merchant['status']:<9}  {merchant['name']}")


@merchants.command("show")
@click.argument("merchant", type=PublicId("mer"))
@json_option
@settings_options
def show(place: Place, *, merchant: bytes, as_json: bool) -> None:
    """Show one merchant and its keys, without secrets."""
    from stack import administration  # noqa: PLC0415

    action = partial(administration.show, merchant_id=merchant)
    _print(administration.act("show", place, action), as_json=as_json)


@merchants.command("roll")
@click.argument("merchant", type=PublicId("mer"))
@save_option
@json_option
@settings_options
def roll(place: Place, *, merchant: bytes, save: Path | None, as_json: bool) -> None:
    """Give a merchant a second pair of keys; both work until the old one is revoked."""
    from stack import administration  # noqa: PLC0415

    keys = administration.act("roll", place, partial(administration.roll, merchant_id=merchant))
    _show_keys(place, keys, save=save, as_json=as_json)


@merchants.command("revoke")
@click.argument("publishable_key")
@json_option
@settings_options
def revoke(place: Place, *, publishable_key: str, as_json: bool) -> None:
    """End a pair of keys for good; the API follows within `api.merchant_cache_s`."""
    from stack import administration  # noqa: PLC0415

    action = partial(administration.revoke, publishable_key=publishable_key)
    _print(administration.act("revoke", place, action), as_json=as_json)


@merchants.group()
def origins() -> None:
    """Say on which pages a merchant's card fields may appear."""


@origins.command("list")
@click.argument("merchant", type=PublicId("mer"))
@json_option
@settings_options
def list_origins(place: Place, *, merchant: bytes, as_json: bool) -> None:
    """List the origins of a merchant's pages."""
    from stack import administration  # noqa: PLC0415

    action = partial(administration.list_origins, merchant_id=merchant)
    _print(administration.act("origins list", place, action), as_json=as_json)


@origins.command("set")
@click.argument("merchant", type=PublicId("mer"))
@click.argument("origins", nargs=-1, metavar="[ORIGIN]...")
@json_option
@settings_options
def set_origins(place: Place, *, merchant: bytes, origins: tuple[str, ...], as_json: bool) -> None:
    """Replace the origins of a merchant; the API follows within `api.merchant_cache_s`.

    Without any, the card fields appear nowhere.
    """
    from stack import administration  # noqa: PLC0415

    action = partial(administration.set_origins, merchant_id=merchant, origins=origins)
    _print(administration.act("origins set", place, action), as_json=as_json)


def _show_keys(place: Place, keys: dict[str, Any], *, save: Path | None, as_json: bool) -> None:
    """Show new keys, and only then write them: a file that cannot be written loses nothing."""
    from stack import administration  # noqa: PLC0415

    _print(keys, as_json=as_json)
    click.echo("The secret key is shown this once; keep it where only your server reads.", err=True)
    if save is not None:
        administration.save_keys(place, keys, save)


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    """A document as JSON, or one line a member and one line a key."""
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    width = max(map(len, document))
    for name, value in document.items():
        for each in _lines(name, value):
            click.echo(f"{name:<{width}}  {each}")


def _lines(name: str, value: Any) -> list[Any]:
    if name == "keys":
        return [_key_line(key) for key in value]
    return (value or ["none"]) if name == "browser_origins" else [value]


def _key_line(key: dict[str, Any]) -> str:
    mode = "live" if key["live"] else "test"
    return f"{key['publishable_key']}  {mode}  {key['status']}"
