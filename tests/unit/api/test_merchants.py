"""Merchants kept in memory: how long, for whom, and what a stranger can do to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
import trio

from api.auth.canonical import SigningKey
from api.auth.verify import Merchant
from api.errors import Problem, ProblemError
from api.key_service import KeyService
from api.merchants import MerchantDirectory
from chassis.settings import API
from ledger.pgtypes import text_array
from ledger.queries import Query
from ledger.statements import Runner

LIMITS = API(merchant_cache_s=60.0, unknown_key_cache_s=5.0, merchants_cached_max=2, queue_max=3)


class Rows:
    """What a query gave."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    def rows(self) -> list[tuple[Any, ...]]:
        """All of it."""
        return self._rows


class Database:
    """Knows keys that begin with `pk_test_shop`, and fails on any query but the expected one."""

    def __init__(self) -> None:
        self.asked: list[bytes | None] = []
        self.names = NAMES
        self.pairs = 2  # of each merchant; the second does not open

    async def run(self, query: Query, params: Sequence[bytes | None]) -> Rows:
        """Credentials of the keys asked for; their number is told by the packed array."""
        assert query.name == "get_credentials"
        await trio.lowlevel.checkpoint()
        self.asked.append(params[0])
        names = [name for name in self.names if name.encode() in (params[0] or b"")]
        return Rows(
            [
                (
                    name,
                    bytes(16),
                    False,
                    [],
                    [name, name + "2"][: self.pairs],
                    [b"sealed-" + name.encode(), b"bad"][: self.pairs],
                )
                for name in names
            ]
        )


NAMES = [f"pk_test_shop{number}" for number in range(5)]


class Keys:
    """Opens what begins with `sealed-`."""

    def __init__(self) -> None:
        self.fails = False
        self.asked = 0

    async def unseal(self, keys: Sequence[str], blobs: Sequence[bytes]) -> list[SigningKey | None]:
        """The secret behind each blob."""
        assert len(keys) == len(blobs)
        self.asked += 1
        if self.fails:
            raise ProblemError(Problem("hsm_unavailable"))
        return [SigningKey(blob[7:]) if blob.startswith(b"sealed-") else None for blob in blobs]


class Harness:
    """A directory and what it found."""

    def __init__(self) -> None:
        self.database, self.keys = Database(), Keys()
        self.directory = MerchantDirectory(
            cast("Runner", self.database),
            cast("KeyService", self.keys),
            LIMITS,
            batch_secrets_max=16,
        )
        self.found: list[Merchant | Problem | None] = []

    async def find(self, name: str, now: float) -> Merchant | Problem | None:
        """Look a key up and wait for it."""
        self.directory.find(name.encode(), now, self.found.append)
        await trio.testing.wait_all_tasks_blocked()
        return self.found[-1]


@pytest.fixture
async def harness(nursery: trio.Nursery) -> Harness:
    """A directory whose task runs."""
    made = Harness()
    nursery.start_soon(made.directory.queries.run)
    return made


async def test_a_merchant_is_found_with_the_secrets_that_open(harness: Harness) -> None:
    """One that does not open is left out."""
    merchant = await harness.find(NAMES[0], 0.0)
    assert isinstance(merchant, Merchant)
    assert [secret.reveal() for secret in merchant.secrets] == [NAMES[0].encode()]


async def test_it_is_recalled_for_a_while_and_then_not(harness: Harness) -> None:
    """The cache time is how long a revoked key may go on."""
    await harness.find(NAMES[0], 0.0)
    for now, known in ((10.0, True), (60.0, True), (60.1, False)):
        assert (harness.directory.recall(NAMES[0].encode(), now) is not None) == known


async def test_past_half_its_time_it_is_looked_up_again_in_use(harness: Harness) -> None:
    """A busy merchant never waits, and is asked for once however busy it is."""
    await harness.find(NAMES[0], 0.0)
    for _ in range(3):
        assert harness.directory.recall(NAMES[0].encode(), 40.0) is not None
    await trio.testing.wait_all_tasks_blocked()
    assert len(harness.database.asked) == 2
    assert harness.directory.recall(NAMES[0].encode(), 99.0) is not None


async def test_those_who_ask_at_once_share_the_answer(harness: Harness) -> None:
    """One look-up for all; too many waiters are turned away."""
    for _ in range(3):
        harness.directory.find(NAMES[0].encode(), 0.0, harness.found.append)
    with pytest.raises(ProblemError) as caught:
        harness.directory.find(NAMES[0].encode(), 0.0, harness.found.append)
    assert caught.value.problem.code == "overloaded"
    await trio.testing.wait_all_tasks_blocked()
    assert len(harness.found) == 3
    assert harness.database.asked == [text_array([NAMES[0]])]


async def test_several_merchants_are_one_query(harness: Harness) -> None:
    """Each gets its own secrets back."""
    for name in (NAMES[1], "pk_test_nobody", NAMES[2]):
        harness.directory.find(name.encode(), 0.0, harness.found.append)
    await trio.testing.wait_all_tasks_blocked()
    first, nobody, second = harness.found
    assert len(harness.database.asked) == 1
    assert nobody is None
    assert isinstance(first, Merchant)
    assert isinstance(second, Merchant)
    assert first.secrets[0].reveal() == NAMES[1].encode()
    assert second.secrets[0].reveal() == NAMES[2].encode()


async def test_strangers_are_remembered_briefly_and_push_nobody_out(harness: Harness) -> None:
    """Unknown keys have a short memory of their own."""
    await harness.find(NAMES[0], 0.0)
    for number in range(5):
        assert await harness.find(f"pk_test_nobody{number}", 0.0) is None
    assert harness.directory.recall(NAMES[0].encode(), 1.0) is not None
    assert harness.directory.recall(b"pk_test_nobody0", 1.0) is None
    entry = harness.directory.recall(b"pk_test_nobody4", 5.0)
    assert entry is not None
    assert entry.merchant is None
    assert harness.directory.recall(b"pk_test_nobody4", 5.1) is None


async def test_the_oldest_merchant_makes_room(harness: Harness) -> None:
    """The memory is bounded."""
    for name in NAMES[:3]:
        await harness.find(name, 0.0)
    known = [harness.directory.recall(name.encode(), 1.0) is not None for name in NAMES[:3]]
    assert known == [False, True, True]


async def test_an_hsm_that_does_not_answer_is_not_remembered(harness: Harness) -> None:
    """A problem is delivered and forgotten; who is unknown is unknown without the HSM."""
    harness.keys.fails = True
    assert await harness.find(NAMES[0], 0.0) == Problem("hsm_unavailable")
    assert await harness.find("pk_test_nobody", 0.0) is None
    harness.keys.fails = False
    assert isinstance(await harness.find(NAMES[0], 0.0), Merchant)


async def test_unchanged_secrets_are_not_opened_again(harness: Harness) -> None:
    """So a merchant that was here before is known while the HSM is away; a new pair is not."""
    harness.database.pairs = 1
    before = await harness.find(NAMES[0], 0.0)
    harness.keys.fails = True
    assert await harness.find(NAMES[0], 61.0) == before
    assert harness.directory.recall(NAMES[0].encode(), 120.0) is not None
    assert harness.keys.asked == 1
    harness.database.pairs = 2
    assert await harness.find(NAMES[0], 122.0) == Problem("hsm_unavailable")


async def test_a_secret_that_did_not_open_is_tried_again(harness: Harness) -> None:
    """It may have been the HSM's fault."""
    await harness.find(NAMES[0], 0.0)
    await harness.find(NAMES[0], 61.0)
    assert harness.keys.asked == 2


async def test_a_revoked_key_is_unknown_without_the_hsm(harness: Harness) -> None:
    """Whether a key is good is the ledger's to say."""
    harness.database.pairs = 1
    await harness.find(NAMES[0], 0.0)
    harness.keys.fails = True
    harness.database.names = []
    assert await harness.find(NAMES[0], 61.0) is None
    assert harness.directory.recall(NAMES[0].encode(), 61.0) is not None  # as an unknown one
