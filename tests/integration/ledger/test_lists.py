"""Lists of intents: in pages, filtered, and found by what merchants know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chassis.log import get_logger
from ledger.connection import Connection
from ledger.ids import lowest_id_at, uuid7_time_us
from ledger.intents import SCAN_ROWS_MAX
from ledger.listing import IntentFilter
from ledger.migrate import load_migrations, migrate
from tests.support.ledger import IDS, charge, intent, open_ledger, outcome

if TYPE_CHECKING:
    from ledger.records import IntentRow
    from tests.support.ledger import LedgerHarness
    from tests.support.postgres import LedgerDSN, PostgresServer


@pytest.fixture
def empty_dsn(postgres: PostgresServer) -> LedgerDSN:
    """A database with the roles and no tables."""
    return postgres.create_database(migrated=False)


async def _all_pages(
    ledger: LedgerHarness,
    merchant_id: bytes,
    limit: int,
    *,
    scan_rows_max: int = SCAN_ROWS_MAX,
    **only: Any,
) -> list[IntentRow]:
    rows: list[IntentRow] = []
    after = None
    while True:
        page = await ledger.intents.list_page(
            merchant_id,
            live=False,
            limit=limit,
            after=after,
            only=IntentFilter(**only),
            scan_rows_max=scan_rows_max,
        )
        assert len(page.intents) <= limit
        rows += page.intents
        after = page.after
        if after is None:
            return rows


async def test_lists_page_through_a_merchant_s_intents(ledger: LedgerHarness) -> None:
    """Newest first, each once, other merchants' and the other mode's left out."""
    merchant_id = IDS.next()
    mine = [intent(merchant_id) for _ in range(7)]
    await ledger.intents.create([*mine, intent(merchant_id, live=True), intent(IDS.next())])
    expected = [row.intent_id for row in reversed(mine)]
    for limit in (1, 3, 7, 100):
        rows = await _all_pages(ledger, merchant_id, limit)
        assert [row.intent_id for row in rows] == expected
    page = await ledger.intents.list_page(merchant_id, live=False, limit=7)
    assert page.after is None, "a page that ends the list has no successor"
    with pytest.raises(ValueError, match="1 to 100"):
        await ledger.intents.list_page(merchant_id, live=False, limit=101)


async def test_lists_filter_by_status_and_time(ledger: LedgerHarness) -> None:
    """Status filters what is read; time bounds what is read at all."""
    merchant_id = IDS.next()
    intents = [intent(merchant_id) for _ in range(6)]
    await ledger.intents.create(intents)
    rows = [charge(of) for of in intents[:3]]
    await ledger.charges.record(rows, lane="fast")
    await ledger.outcomes.settle([outcome(rows[0]), outcome(rows[1], "declined")])
    for statuses, expected in (
        (("succeeded",), intents[:1]),
        (("failed", "processing"), [intents[2], intents[1]]),
        (("canceled",), []),
    ):
        found = await _all_pages(ledger, merchant_id, 2, statuses=statuses)
        assert [row.intent_id for row in found] == [of.intent_id for of in expected]
    middle = intents[3].intent_id
    newer = await _all_pages(ledger, merchant_id, 2, created_from=middle)
    older = await _all_pages(ledger, merchant_id, 2, created_before=middle)
    assert [row.intent_id for row in newer + older] == [of.intent_id for of in reversed(intents)]
    future = lowest_id_at(uuid7_time_us(middle) + 60_000_000)
    assert await _all_pages(ledger, merchant_id, 2, created_from=future) == []


async def test_a_status_filter_reads_a_bounded_number_of_rows(ledger: LedgerHarness) -> None:
    """A page may come back empty with a successor; following it finds what is far behind."""
    merchant_id = IDS.next()
    intents = [intent(merchant_id) for _ in range(10)]
    await ledger.intents.create(intents)
    row = charge(intents[0])
    await ledger.charges.record([row], lane="fast")
    page = await ledger.intents.list_page(
        merchant_id,
        live=False,
        limit=5,
        only=IntentFilter(statuses=("processing",)),
        scan_rows_max=4,
    )
    assert page.intents == []
    assert page.after == intents[6].intent_id
    found = await _all_pages(ledger, merchant_id, 5, statuses=("processing",), scan_rows_max=4)
    assert [row.intent_id for row in found] == [intents[0].intent_id]


def _ids(rows: list[IntentRow]) -> list[bytes]:
    return [row.intent_id for row in rows]


async def test_lists_filter_by_amount(ledger: LedgerHarness) -> None:
    """One amount or a range of them, page by page, together with a status."""
    merchant_id = IDS.next()
    intents = [intent(merchant_id, amount_minor=100 * (n % 3 + 1)) for n in range(9)]
    await ledger.intents.create([*intents, intent(IDS.next(), amount_minor=200)])
    newest_first = intents[::-1]
    for lowest, highest in ((200, 200), (200, 300), (1, 199), (301, 400)):
        expected = [of.intent_id for of in newest_first if lowest <= of.amount_minor <= highest]
        found = await _all_pages(ledger, merchant_id, 2, amount_min=lowest, amount_max=highest)
        assert _ids(found) == expected, (lowest, highest)
    row = charge(intents[1])
    await ledger.charges.record([row], lane="fast")
    paying = {"amount_min": 200, "amount_max": 200, "statuses": ("processing",)}
    found = await _all_pages(ledger, merchant_id, 2, scan_rows_max=2, **paying)
    assert _ids(found) == [intents[1].intent_id]


async def test_lists_find_a_reference_whoever_holds_it(ledger: LedgerHarness) -> None:
    """A canceled intent's reference is free and still finds it; another merchant's does not."""
    merchant_id = IDS.next()
    first = intent(merchant_id, merchant_reference="order-1")
    await ledger.intents.create([first, intent(IDS.next(), merchant_reference="order-1")])
    await ledger.rows(
        "UPDATE payment_intents SET status = 'canceled', canceled_by = 'merchant'"
        " WHERE id = $1::uuid",
        first.intent_id,
    )
    await ledger.rows("DELETE FROM merchant_references WHERE intent_id = $1::uuid", first.intent_id)
    again = intent(merchant_id, merchant_reference="order-1", amount_minor=700)
    await ledger.intents.create([again, intent(merchant_id, merchant_reference="order-10")])
    found = await _all_pages(ledger, merchant_id, 1, merchant_reference="order-1")
    assert _ids(found) == [again.intent_id, first.intent_id]
    of_700 = await _all_pages(
        ledger, merchant_id, 1, merchant_reference="order-1", amount_min=700, amount_max=700
    )
    assert _ids(of_700) == [again.intent_id]
    assert await _all_pages(ledger, merchant_id, 1, merchant_reference="order-2") == []


async def test_lists_find_metadata(ledger: LedgerHarness) -> None:
    """Each pair that is asked for; names and values are not mixed up, nor taken for a reference."""
    merchant_id = IDS.next()
    gold = intent(merchant_id, metadata=b'{"tier":"gold","city":"Z\xc3\xbcrich"}')
    silver = intent(merchant_id, metadata=b'{"tier":"silver","city":"Z\xc3\xbcrich","note":""}')
    named = intent(merchant_id, metadata=b'{"t":"iergold"}', merchant_reference="tiergold")
    await ledger.intents.create([gold, silver, named, intent(merchant_id)])
    for pairs, expected in (
        ([("tier", "gold")], [gold]),
        ([("city", "Z\u00fcrich")], [silver, gold]),
        ([("city", "Z\u00fcrich"), ("tier", "gold")], [gold]),
        ([("tier", "gold"), ("note", "")], []),
        ([("note", "")], [silver]),
        ([("gold", "tier")], []),
    ):
        found = await _all_pages(ledger, merchant_id, 1, metadata=tuple(pairs))
        assert _ids(found) == [of.intent_id for of in expected], pairs
    both = {"merchant_reference": "tiergold", "metadata": (("t", "iergold"),)}
    assert _ids(await _all_pages(ledger, merchant_id, 1, **both)) == [named.intent_id]
    both["metadata"] = (("tier", "gold"),)
    assert await _all_pages(ledger, merchant_id, 1, **both) == []


async def test_a_search_reads_a_bounded_number_of_rows(ledger: LedgerHarness) -> None:
    """A page that found nothing continues where it gave up, over intents that are gone as well."""
    merchant_id = IDS.next()
    tiers = [intent(merchant_id, metadata=b'{"tier":"gold"}') for _ in range(10)]
    await ledger.intents.create(tiers)
    await ledger.charges.record([charge(tiers[0])], lane="fast")
    await ledger.rows("DELETE FROM payment_intents WHERE id = $1::uuid", tiers[6].intent_id)
    only = IntentFilter(metadata=(("tier", "gold"),), statuses=("processing",))
    page = await ledger.intents.list_page(
        merchant_id, live=False, limit=5, only=only, scan_rows_max=4
    )
    assert (page.intents, page.after) == ([], tiers[6].intent_id)
    for statuses, expected in ((("processing",), 1), (("created",), 8)):
        found = await _all_pages(
            ledger,
            merchant_id,
            2,
            scan_rows_max=4,
            metadata=only.metadata,
            statuses=statuses,
        )
        assert len(found) == expected


async def test_a_replayed_creation_has_its_terms_once(ledger: LedgerHarness) -> None:
    """What did not become an intent is not searched by."""
    merchant_id = IDS.next()
    row = intent(merchant_id, merchant_reference="once", metadata=b'{"a":"1","b":"1"}')
    await ledger.intents.create([row])
    await ledger.intents.create([row])
    loser = intent(merchant_id, merchant_reference="once", metadata=b'{"a":"1"}')
    await ledger.intents.create([loser])
    assert await ledger.count("intent_terms", row) == 3
    assert await ledger.count("intent_terms", loser) == 0


async def test_intents_from_before_the_terms_are_found(empty_dsn: LedgerDSN) -> None:
    """The migration writes the terms of what was there: reference and metadata, once each."""
    migrations = load_migrations()
    before = [step.name for step in migrations].index("intent_terms")
    owner = empty_dsn("turnout_owner")
    await migrate(owner, log=get_logger("tests"), migrations=migrations[:before])
    merchant_id, old, plain = IDS.next(), IDS.next(), IDS.next()
    connection = await Connection.open(owner, connect_timeout_s=10)
    await connection.script(
        f"""
        INSERT INTO payment_intents (id, merchant_id, live, amount_minor, currency)
        SELECT id, '{merchant_id.hex()}', false, 500, 'usd'
        FROM unnest('{{{old.hex()},{plain.hex()}}}'::uuid[]) AS id;
        INSERT INTO payment_intent_details
            (intent_id, request_id, client_secret_hash, merchant_reference, metadata)
        VALUES
            ('{old.hex()}', uuidv7(), sha256(''), 'order-1', '{{"tier":"gold","x":""}}'),
            ('{plain.hex()}', uuidv7(), sha256(''), NULL, NULL);
        """
    )
    await connection.aclose()
    await migrate(owner, log=get_logger("tests"))
    async with open_ledger(empty_dsn) as ledger:
        for only in (
            {"merchant_reference": "order-1"},
            {"metadata": (("tier", "gold"),)},
            {"metadata": (("x", ""), ("tier", "gold"))},
        ):
            assert _ids(await _all_pages(ledger, merchant_id, 1, **only)) == [old], only
        both = {"amount_min": 500, "amount_max": 500}
        assert _ids(await _all_pages(ledger, merchant_id, 1, **both)) == [plain, old]
        assert await ledger.rows("SELECT count(*) FROM intent_terms") == [(3,)]
