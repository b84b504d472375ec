"""The demo shop against a real ledger: first starts, second starts, and starts that died."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from ledger.connection import Connection
from ledger.ids import parse_id
from ledger.merchants import (
    get_credentials,
    get_merchants,
    list_api_keys,
    list_merchants,
    revoke_api_key,
    secret_context,
    set_browser_origins,
)
from stack.api_keys import SealingError, issue_keys
from stack.credentials import DEMO_FILE, Credentials, load_credentials
from stack.demo_shop import ensure_demo_shop, ensure_origins
from tests.support.postgres import LedgerDSN

URL = "http://127.0.0.1:8080"


class Sealer:
    """Seals by writing down what an HSM would hide, until it is told to fail."""

    def __init__(self) -> None:
        self.fails = False

    async def seal(self, publishable_key: str, secret_key: str) -> bytes:
        """Context and secret, readable."""
        if self.fails:
            raise SealingError("the HSM did not answer")
        return secret_context(publishable_key) + b"|" + secret_key.encode()


@pytest.fixture
def sealer() -> Sealer:
    """Stands in for the HSM."""
    return Sealer()


@pytest.fixture
async def session(ledger_dsn: LedgerDSN) -> AsyncIterator[Connection]:
    """A session of role turnout_admin on a ledger without merchants; its grants are tested too."""
    superuser = await Connection.open(ledger_dsn.superuser, connect_timeout_s=10)
    await superuser.script("DELETE FROM api_keys; DELETE FROM merchants")
    await superuser.aclose()
    session = await Connection.open(ledger_dsn("turnout_admin"), connect_timeout_s=10)
    yield session
    await session.aclose()


async def _keys(session: Connection, shop: Credentials) -> dict[str, str]:
    keys = await list_api_keys(session, parse_id("mer", shop.merchant))
    return {key.publishable_key: key.status for key in keys}


async def _works(session: Connection, shop: Credentials) -> bool:
    """Whether the ledger knows the keys of the file and holds the secret under its context."""
    found = (await get_credentials(session, [shop.publishable_key])).get(shop.publishable_key)
    if found is None:
        return False
    at = list(found.active_keys).index(shop.publishable_key)
    sealed = f"{shop.publishable_key}|{shop.secret_key}".encode()
    return bytes(found.sealed_secrets[at]) == sealed


async def test_the_first_start_makes_a_shop_with_keys(
    session: Connection, sealer: Sealer, tmp_path: Path
) -> None:
    """The shop, its sealed secret and the file agree."""
    shop = await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=URL)
    assert load_credentials(tmp_path / DEMO_FILE) == shop
    assert [merchant.name for merchant in await list_merchants(session)] == ["Demo shop"]
    assert await _works(session, shop)


async def test_a_second_start_changes_nothing_but_the_address(
    session: Connection, sealer: Sealer, tmp_path: Path
) -> None:
    """Keys stay; the file follows the API to another port, without asking the HSM."""
    first = await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=URL)
    sealer.fails = True
    moved = "http://127.0.0.1:9090"
    second = await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=moved)
    assert second == msgspec.structs.replace(first, api_url=moved)
    assert load_credentials(tmp_path / DEMO_FILE) == second
    assert len(await list_merchants(session)) == 1
    assert list(await _keys(session, first)) == [first.publishable_key]


async def test_a_start_that_died_before_the_rows_is_finished_by_the_next(
    session: Connection, sealer: Sealer, tmp_path: Path
) -> None:
    """The keys of the file become the ledger's: nobody has to learn new ones."""
    sealer.fails = True
    with pytest.raises(SealingError):
        await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=URL)
    promised = load_credentials(tmp_path / DEMO_FILE)
    assert not await _works(session, promised)
    sealer.fails = False
    shop = await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=URL)
    assert shop == promised
    assert await _works(session, shop)
    assert len(await list_merchants(session)) == 1


async def test_a_lost_file_gets_new_keys_and_the_same_shop(
    session: Connection, sealer: Sealer, tmp_path: Path
) -> None:
    """Access is never lost; with two pairs active the oldest makes room."""
    shops = []
    for _ in range(3):
        shops.append(await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=URL))
        (tmp_path / DEMO_FILE).unlink()
    assert len({shop.merchant for shop in shops}) == 1
    assert list((await _keys(session, shops[0])).values()) == ["revoked", "active", "active"]
    assert [await _works(session, shop) for shop in shops] == [False, True, True]


async def test_an_unusable_file_is_replaced(
    session: Connection, sealer: Sealer, tmp_path: Path
) -> None:
    """Half a file, as an editor may leave it, costs a new pair of keys and nothing else."""
    await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=URL)
    path = tmp_path / DEMO_FILE
    path.write_bytes(path.read_bytes()[:50])
    shop = await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=URL)
    assert load_credentials(path) == shop
    assert await _works(session, shop)


async def test_revoked_keys_stay_revoked(
    session: Connection, sealer: Sealer, tmp_path: Path
) -> None:
    """What somebody revoked does not come back; the file gets new keys."""
    first = await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=URL)
    await revoke_api_key(session, first.publishable_key)
    second = await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=URL)
    assert (await _keys(session, first))[first.publishable_key] == "revoked"
    assert second.publishable_key != first.publishable_key
    assert await _works(session, second)


async def test_keys_rolled_by_hand_are_left_alone(
    session: Connection, sealer: Sealer, tmp_path: Path
) -> None:
    """A second pair beside that of the file is the operator's business."""
    shop = await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=URL)
    await issue_keys(session, sealer, parse_id("mer", shop.merchant), live=False)
    assert await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=URL) == shop
    assert list((await _keys(session, shop)).values()) == ["active", "active"]


async def test_the_shops_page_is_registered_where_it_is_now(
    session: Connection, sealer: Sealer, tmp_path: Path
) -> None:
    """In the place of where it was; what an operator has registered besides stays."""
    shop = await ensure_demo_shop(session, sealer, data_dir=tmp_path, api_url=URL)
    merchant_id = parse_id("mer", shop.merchant)

    async def registered() -> list[str]:
        return list((await get_merchants(session, [merchant_id]))[merchant_id].browser_origins)

    first, second = ("http://127.0.0.1:8081", "http://localhost:8081"), ("http://127.0.0.1:9",)
    await ensure_origins(session, shop, first, former=())
    assert await registered() == [*first]
    await set_browser_origins(session, merchant_id, [*first, "https://mine.example"])
    await ensure_origins(session, shop, second, former=first)
    assert await registered() == [*second, "https://mine.example"]
    await ensure_origins(session, shop, second, former=second)
    assert await registered() == [*second, "https://mine.example"]
