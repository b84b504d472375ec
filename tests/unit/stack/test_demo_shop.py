"""Which keys the demo shop is to have."""

from __future__ import annotations

import pytest

from ledger.merchants import APIKey
from stack.credentials import Credentials, KeyPair
from stack.demo_shop import Found, Plan, demo_shop, plan_credentials
from switch.core.messages import Acceptor

FRESH = KeyPair("pk_test_fresh", "sk_test_fresh")
SAVED = Credentials(
    merchant="mer_0000000000000000000001",
    publishable_key="pk_test_saved",
    secret_key="sk_test_saved",
    api_url="http://127.0.0.1:8080",
)
KEPT = KeyPair("pk_test_saved", "sk_test_saved")
ID = bytes(range(16))


def _key(publishable_key: str, status: str = "active") -> APIKey:
    return APIKey(publishable_key, False, status, 1, None if status == "active" else 2)


@pytest.mark.parametrize(
    ("found", "plan"),
    [
        pytest.param(Found(saved=None, merchant_id=None), Plan(FRESH, record=True), id="first"),
        pytest.param(
            Found(saved=None, merchant_id=ID, keys=(_key("pk_test_other"),)),
            Plan(FRESH, record=True),
            id="file lost",
        ),
        pytest.param(
            Found(saved=SAVED, merchant_id=None), Plan(KEPT, record=True), id="died after the file"
        ),
        pytest.param(
            Found(saved=SAVED, merchant_id=ID), Plan(KEPT, record=True), id="died after the shop"
        ),
        pytest.param(
            Found(saved=SAVED, merchant_id=ID, keys=(_key("pk_test_o"), _key("pk_test_saved"))),
            Plan(KEPT, record=False),
            id="all there",
        ),
        pytest.param(
            Found(saved=SAVED, merchant_id=ID, keys=(_key("pk_test_saved", "revoked"),)),
            Plan(FRESH, record=True),
            id="revoked",
        ),
    ],
)
def test_what_is_missing_is_decided_by_what_is_found(found: Found, plan: Plan) -> None:
    """Each state that a crash or an operator can leave has one way on."""
    assert plan_credentials(found, FRESH) == plan


def test_the_shop_fits_its_data_elements() -> None:
    """DE 41, 42 and 43 have their widths, DE 18 and DE 19 their digits."""
    shop = demo_shop(ID)
    acceptor = Acceptor(
        terminal_id=shop.terminal_id,
        card_acceptor_id=shop.card_acceptor_id,
        name_location=shop.name_location,
        mcc=shop.mcc,
        country=shop.country,
    )
    assert [len(acceptor.terminal_id), len(acceptor.card_acceptor_id)] == [8, 15]
    assert len(acceptor.name_location) == 40
    assert (acceptor.mcc, acceptor.country) == ("5999", "840")
