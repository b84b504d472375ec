"""Merchants and keys: bounded data, two active pairs at most, credentials by active key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from ledger.errors import RowError
from ledger.merchants import (
    Credentials,
    MerchantError,
    NewMerchant,
    add_api_key,
    create_merchant,
    get_credentials,
    get_merchants,
    list_api_keys,
    list_merchants,
    revoke_api_key,
)
from tests.support.ledger import IDS

if TYPE_CHECKING:
    from ledger.connection import Connection
    from tests.support.ledger import LedgerHarness


def _merchant(**changes: Any) -> NewMerchant:
    merchant = NewMerchant(
        merchant_id=IDS.next(),
        name="Demo shop",
        country="840",
        settlement_currency="usd",
        mcc="5732",
        terminal_id="TERM0001",
        card_acceptor_id="DEMOSHOP0000001",
        name_location="DEMO SHOP              SAN FRANCISCO  US",
        browser_origins=("http://127.0.0.1:8081",),
    )
    return attrs.evolve(merchant, **changes)


@pytest.fixture
async def admin(ledger: LedgerHarness) -> Connection:
    """A session with the operator's rights."""
    return await ledger.session("turnout_admin")


def _key(mode: str = "test") -> str:
    return f"pk_{mode}_{os.urandom(6).hex()}"


async def test_a_merchant_reads_back(ledger: LedgerHarness, admin: Connection) -> None:
    """Whatever the network is told stands as it was given; switch and api may read it."""
    new = _merchant()
    created_at_us = await create_merchant(admin, new)
    for session in (admin, ledger.api, await ledger.connect()):
        found = await get_merchants(session, [new.merchant_id, IDS.next()])
        assert list(found) == [new.merchant_id]
        merchant = found[new.merchant_id]
        assert (merchant.created_at_us, merchant.status) == (created_at_us, "active")
        for field in attrs.fields(NewMerchant):
            expected = getattr(new, field.name)
            assert getattr(merchant, field.name) == (
                list(expected) if field.name == "browser_origins" else expected
            )
    assert new.merchant_id in [m.merchant_id for m in await list_merchants(admin, limit=1_000)]
    assert await list_merchants(admin, after=new.merchant_id) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"name": ""},
        {"country": "US"},
        {"mcc": "57321"},
        {"terminal_id": "TERMINAL1"},
        {"card_acceptor_id": "1234567890123456"},
        {"name_location": "x" * 41},
        {"settlement_currency": "USD"},
    ],
)
async def test_data_that_fits_no_data_element_is_refused(
    admin: Connection, bad: dict[str, str]
) -> None:
    """The constraint names the column."""
    with pytest.raises(RowError) as refused:
        await create_merchant(admin, _merchant(**bad))
    assert refused.value.constraint == f"merchants_{next(iter(bad))}_check"


async def test_keys_roll_with_two_active_at_most(ledger: LedgerHarness, admin: Connection) -> None:
    """The third pair of a mode is refused until one is revoked; modes do not count together."""
    merchant_id = (new := _merchant()).merchant_id
    await create_merchant(admin, new)
    first, second, third, live = _key(), _key(), _key(), _key("live")
    for key in (first, second):
        await add_api_key(
            admin, merchant_id, live=False, publishable_key=key, sealed_secret=key.encode()
        )
    with pytest.raises(MerchantError, match="revoke the old one"):
        await add_api_key(admin, merchant_id, live=False, publishable_key=third, sealed_secret=b"3")
    await add_api_key(admin, merchant_id, live=True, publishable_key=live, sealed_secret=b"l")
    await revoke_api_key(admin, first)
    with pytest.raises(MerchantError, match="no such active key"):
        await revoke_api_key(admin, first)
    await add_api_key(
        admin, merchant_id, live=False, publishable_key=third, sealed_secret=third.encode()
    )
    keys = await list_api_keys(admin, merchant_id)
    assert [(key.publishable_key, key.live, key.status) for key in keys] == [
        (first, False, "revoked"),
        (second, False, "active"),
        (live, True, "active"),
        (third, False, "active"),
    ]
    found = await get_credentials(ledger.api, [first, second, live, "pk_test_nobody"])
    assert found == {
        second: Credentials(
            second,
            merchant_id,
            False,
            ["http://127.0.0.1:8081"],
            [second, third],
            [second.encode(), third.encode()],
        ),
        live: Credentials(live, merchant_id, True, ["http://127.0.0.1:8081"], [live], [b"l"]),
    }
    assert "sealed" not in repr(found[second])


async def test_two_operators_rolling_at_once_add_one_pair(
    ledger: LedgerHarness, admin: Connection
) -> None:
    """The count is taken behind the merchant's lock, so it sees the pair added meanwhile."""
    merchant_id = (new := _merchant()).merchant_id
    await create_merchant(admin, new)
    await add_api_key(admin, merchant_id, live=False, publishable_key=_key(), sealed_secret=b"1")
    second = await ledger.session("turnout_admin", lock_timeout="5s")
    refused: list[MerchantError] = []

    async def roll() -> None:
        with pytest.raises(MerchantError, match="revoke the old one") as caught:
            await add_api_key(
                second, merchant_id, live=False, publishable_key=_key(), sealed_secret=b"3"
            )
        refused.append(caught.value)

    first = await ledger.session("superuser")
    async with trio.open_nursery() as nursery:
        await first.script(
            f"BEGIN; SELECT FROM merchants WHERE id = '{merchant_id.hex()}' FOR UPDATE;"
            " INSERT INTO api_keys (publishable_key, merchant_id, live, sealed_secret)"
            f" VALUES ('{_key()}', '{merchant_id.hex()}', false, '2')"
        )
        nursery.start_soon(roll)
        await ledger.waiting_backends(role="turnout_admin")
        await first.script("COMMIT")
    assert len(refused) == 1
    assert len(await list_api_keys(admin, merchant_id)) == 2


async def test_keys_of_nobody_and_of_the_wrong_mode_are_refused(admin: Connection) -> None:
    """A key needs its merchant and carries its mode in its name."""
    new = _merchant()
    await create_merchant(admin, new)
    with pytest.raises(MerchantError, match="no such merchant"):
        await add_api_key(admin, IDS.next(), live=False, publishable_key=_key(), sealed_secret=b"1")
    with pytest.raises(RowError) as refused:
        await add_api_key(
            admin, new.merchant_id, live=True, publishable_key=_key(), sealed_secret=b"1"
        )
    assert refused.value.constraint == "api_keys_prefix"


async def test_a_suspended_merchant_has_no_credentials(
    ledger: LedgerHarness, admin: Connection
) -> None:
    """Its keys stay, but verify nothing."""
    new = _merchant()
    await create_merchant(admin, new)
    key = _key()
    await add_api_key(admin, new.merchant_id, live=False, publishable_key=key, sealed_secret=b"1")
    assert list(await get_credentials(ledger.api, [key])) == [key]
    await ledger.rows(
        "UPDATE merchants SET status = 'suspended' WHERE id = $1::uuid RETURNING id",
        new.merchant_id,
    )
    assert await get_credentials(ledger.api, [key]) == {}
