"""What a switch needs besides commits: leases, recovery, STAN blocks, partitions."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import trio
from msgspec.structs import replace

from ledger.deciding.records import Plan
from ledger.errors import RetryableError, RowError
from ledger.ids import lowest_id_at, uuid7_time_us
from ledger.leases import LeaseLostError, begin_epoch, note_recovered
from ledger.merchants import NewMerchant, create_merchant
from ledger.numbers import NoStanBlockError, prepare_stans, take_stans
from ledger.partitions import PARTITIONED, ensure_partitions
from ledger.records import Settled
from ledger.recovery import (
    AnswerNumbers,
    find_attempts,
    newest_attempt,
    open_attempts,
    open_captures,
    unknown_outcome,
)
from ledger.verifications import due_verifications
from tests.support.deciding import Decide, attempt, capture, new_transaction, reverse
from tests.support.deciding import outcome as decided
from tests.support.ledger import IDS, NOW_US, charge, intent, outcome

if TYPE_CHECKING:
    from ledger.records import ChargeToRecord, OutcomeToRecord
    from ledger.recovery import OpenAttempt
    from tests.support.ledger import LedgerHarness

NOW_S = 1_800_000_000
WINDOW_US = 30_000_000


def unknown(attempt: OpenAttempt) -> OutcomeToRecord:
    """What recovery records."""
    return unknown_outcome(
        attempt, at_us=NOW_US, verify_at_us=NOW_US, verify_until_us=NOW_US + WINDOW_US
    )


async def test_each_start_begins_a_higher_epoch(ledger: LedgerHarness) -> None:
    """Epochs of one switch only grow; another switch has its own."""
    session = await ledger.connect()
    first = await begin_epoch(session, "switch-a", ttl_s=10)
    second = await begin_epoch(session, "switch-a", ttl_s=10)
    assert second.epoch == first.epoch + 1
    assert first.recover_from == bytes(16)
    assert (await begin_epoch(session, "switch-b", ttl_s=10)).epoch == first.epoch


async def test_recovery_starts_where_it_ended(ledger: LedgerHarness) -> None:
    """The mark moves up only, and only for the present epoch."""
    session = await ledger.connect()
    old = await begin_epoch(session, "switch-c", ttl_s=10)
    lease = await begin_epoch(session, "switch-c", ttl_s=10)
    mark = IDS.next()
    await note_recovered(session, lease, mark)
    with pytest.raises(LeaseLostError):
        await note_recovered(session, old, IDS.next())
    assert (await begin_epoch(session, "switch-c", ttl_s=10)).recover_from == mark


async def test_a_takeover_waits_for_commits_and_a_heartbeat_does_not(
    ledger: LedgerHarness,
) -> None:
    """FOR KEY SHARE lets an update of the row pass, and holds FOR UPDATE back."""
    session = await ledger.connect()
    lease = await begin_epoch(session, "switch-d", ttl_s=10)
    commit = await ledger.session("superuser")
    await commit.script("BEGIN; SELECT FROM switch_leases WHERE switch = 'switch-d' FOR KEY SHARE")
    await note_recovered(session, lease, IDS.next())
    with pytest.raises(RetryableError) as waiting:
        await begin_epoch(session, "switch-d", ttl_s=10)
    assert waiting.value.sqlstate == "55P03"
    await commit.script("ROLLBACK")
    assert (await begin_epoch(session, "switch-d", ttl_s=10)).epoch == lease.epoch + 1


async def test_recovery_finds_attempts_without_outcome(ledger: LedgerHarness) -> None:
    """Only this owner's, only those without any outcome, page by page; then each is unknown."""
    rows = [charge(of, rrn=f"0RRN{n:08d}") for n, of in enumerate(await ledger.created(6))]
    await ledger.charges.record(rows, lane="fast")
    await ledger.outcomes.settle([outcome(rows[1]), outcome(rows[4], "unknown")])
    session = await ledger.connect()
    pages = []
    above = bytes(16)
    while page := await open_attempts(session, ledger.switch, above=above, limit=3):
        pages.append(len(page))
        above = page[-1].attempt_id
    assert pages == [3, 1]
    found = await open_attempts(session, ledger.switch)
    left = [rows[0], rows[2], rows[3], rows[5]]
    assert [(a.attempt_id, a.transaction_id, a.rrn, a.request_id) for a in found] == [
        (row.attempt_id, row.transaction_id, row.rrn, row.request_id) for row in left
    ]
    assert (found[0].amount_minor, found[0].epoch) == (2499, ledger.lease.epoch)
    assert await open_attempts(session, "somebody else") == []
    settled = await ledger.outcomes.settle([unknown(a) for a in found])
    assert settled == [Settled(True, 3, "pending_verification")] * 4
    assert await open_attempts(session, ledger.switch) == []
    assert await newest_attempt(session, ledger.switch) == (rows[5].attempt_id, rows[5].rrn)
    assert await newest_attempt(session, "somebody else") is None


async def test_the_newest_rrn_is_of_the_newest_request(ledger: LedgerHarness) -> None:
    """What follows a payment has a newer id and an older RRN; a refund draws one of its own."""
    session = await ledger.connect()
    first, second = [
        charge(of, rrn=f"0NEW0000000{n}") for n, of in enumerate(await ledger.created(2))
    ]
    await ledger.charges.record([first, second], lane="fast")
    await ledger.outcomes.settle([outcome(first), outcome(second, "unknown")])
    reversal, reverses = reverse(second)
    await ledger.decisions.run([Decide(second.intent_id, reverses)])
    assert await newest_attempt(session, ledger.switch) == (reversal.attempt_id, second.rrn)
    late = attempt(first.transaction_id, "inquiry", rrn=first.rrn)
    await ledger.decisions.run([Decide(first.intent_id, lambda _: Plan(attempts=[late]))])
    assert await newest_attempt(session, ledger.switch) == (late.attempt_id, second.rrn)
    refund = new_transaction("refund", 1)
    asks = attempt(refund.transaction_id, mti="0200", amount_minor=1, rrn="0NEW00000009")
    plan = Plan(
        intent={"refund_pending_minor": 1}, transactions=[refund], attempts=[asks], value=True
    )
    assert await ledger.decisions.run([Decide(first.intent_id, lambda _: plan)]) == [True]
    assert await newest_attempt(session, ledger.switch) == (asks.attempt_id, asks.rrn)


async def test_a_recovered_attempt_s_own_answer_comes_as_its_resolution(
    ledger: LedgerHarness,
) -> None:
    """Recovery by a new epoch, then the answer: adopted, not written over."""
    [of] = await ledger.created()
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    lease = await begin_epoch(await ledger.connect(), ledger.switch, ttl_s=10)
    committer = ledger.outcome_committer(epoch=lease.epoch)
    [found] = await open_attempts(await ledger.connect(), ledger.switch)
    await committer.settle([unknown(found)])
    settled = await committer.settle([outcome(row, "approved", phase=2)])
    assert settled == [Settled(True, 4, "succeeded")]


async def test_an_answer_finds_its_attempt_by_all_its_numbers(ledger: LedgerHarness) -> None:
    """Whatever became of it; one wrong number, another owner or another time finds nothing."""
    rows = [
        charge(of, rrn=f"0FND{n:08d}", stan=f"{n:06d}")
        for n, of in enumerate(await ledger.created(3))
    ]
    await ledger.charges.record(rows, lane="fast")
    await ledger.outcomes.settle([outcome(rows[1])])
    session = await ledger.connect()

    def named(row: ChargeToRecord, **changes: Any) -> AnswerNumbers:
        drawn_at_us = uuid7_time_us(row.attempt_id)
        numbers = AnswerNumbers(row.network, row.rrn, row.stan, row.de7, drawn_at_us)
        return replace(numbers, **changes)

    asked = [
        named(rows[1]),
        named(rows[2], stan="999999"),
        named(rows[2], de7="0101000000"),
        named(rows[2], rrn=rows[0].rrn),
        named(rows[2], network="msim"),
        named(rows[2], drawn_at_us=uuid7_time_us(rows[2].attempt_id) + 1_100_000),
        named(rows[2], drawn_at_us=uuid7_time_us(rows[2].attempt_id) - 1_100_000),
        named(rows[0], drawn_at_us=uuid7_time_us(rows[0].attempt_id) + 900_000),
    ]
    found = await find_attempts(session, ledger.switch, asked)
    assert [None if a is None else a.attempt_id for a in found] == [
        rows[1].attempt_id,
        *[None] * 6,
        rows[0].attempt_id,
    ]
    assert found[0] is not None
    assert (found[0].request_id, found[0].amount_minor) == (rows[1].request_id, 2499)
    assert await find_attempts(session, "somebody else", asked) == [None] * 8
    assert await find_attempts(session, ledger.switch, []) == []


async def test_an_answer_names_what_follows_a_charge_too(ledger: LedgerHarness) -> None:
    """A reversal keeps the RRN of its charge, and is found by it however much later it was sent."""
    await create_merchant(
        await ledger.session("turnout_admin"),
        NewMerchant(
            merchant_id=ledger.merchant_id,
            name="Demo shop",
            country="840",
            settlement_currency="usd",
            mcc="5999",
            terminal_id="TERM0001",
            card_acceptor_id="DEMOSHOP0000001",
            name_location="Demo shop Springfield US",
        ),
    )
    [row] = await ledger.charged(result="unknown", rrn="0REVERSED000")
    message, closing = reverse(row)
    await ledger.decisions.run([Decide(row.intent_id, closing)])
    drawn = uuid7_time_us(row.attempt_id)
    asked = [
        AnswerNumbers("vsim", row.rrn, message.stan, message.de7, drawn),
        AnswerNumbers("vsim", row.rrn, row.stan, row.de7, drawn),
    ]
    found = await find_attempts(await ledger.connect(), ledger.switch, asked)
    assert [a and (a.attempt_id, a.kind, a.type, a.mti) for a in found] == [
        (message.attempt_id, "reversal", "charge", "0420"),
        (row.attempt_id, "request", "charge", "0200"),
    ]
    for a in found:  # what an answer repeats of either: the merchant, and how the life began
        assert a is not None
        assert (a.terminal_id, a.card_acceptor_id) == ("TERM0001", "DEMOSHOP0000001")
        assert (a.original_mti, a.original_stan) == (row.mti, row.stan)
        assert (a.original_de7, a.original_acquirer_id) == (row.de7, row.acquirer_id)


async def test_a_recovered_charge_is_looked_into(ledger: LedgerHarness) -> None:
    """At once, and for as long as its network is asked."""
    [of] = await ledger.created()
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    session = await ledger.connect()
    [opened] = [
        a for a in await open_attempts(session, ledger.switch) if a.attempt_id == row.attempt_id
    ]
    assert (opened.kind, opened.type) == ("request", "charge")
    await ledger.outcomes.settle([unknown(opened)])
    assert await ledger.status(row) == "pending_verification"
    [doubt] = [
        each
        for each in await due_verifications(
            session, ledger.switch, now_us=NOW_US, limit=100, networks=["vsim"]
        )
        if each.attempt_id == row.attempt_id
    ]
    assert (doubt.due_at_us, doubt.window_ends_at_us) == (NOW_US, NOW_US + WINDOW_US)


async def test_captures_that_nobody_answered_are_found(ledger: LedgerHarness) -> None:
    """In store-and-forward and without any outcome; nothing else of what waits there."""
    session = await ledger.connect()
    held = [charge(of) for of in await ledger.created(3, capture_method="manual")]
    await ledger.charges.record(held, lane="fast")
    await ledger.outcomes.settle(
        [outcome(row, intent_to="authorized", capture_before_us=NOW_US + 10**12) for row in held]
    )
    news, deciders = zip(*[capture(2499) for _ in held], strict=True)
    steps = [Decide(row.intent_id, decide) for row, decide in zip(held, deciders, strict=True)]
    assert await ledger.decisions.run(steps) == ["captured"] * 3
    [doubted] = await ledger.charged(1, result="unknown")
    _, reverses = reverse(doubted)
    await ledger.decisions.run([Decide(doubted.intent_id, reverses)])
    assert await open_attempts(session, ledger.switch) == []
    page = await open_captures(session, ledger.switch, limit=2)
    [last] = await open_captures(session, ledger.switch, above=page[-1].attempt_id)
    found = [*page, last]
    assert {each.transaction_id for each in found} == {new.transaction_id for new in news}
    assert {(each.kind, each.type, each.mti) for each in found} == {("request", "capture", "0220")}
    assert await open_captures(session, "somebody else") == []
    first = found[0]
    told = decided(first.attempt_id, first.transaction_id, "unknown")
    plan = Plan(intent={"status": "pending_verification"}, outcomes=[told])
    await ledger.decisions.run([Decide(first.intent_id, lambda _: plan)])
    assert await open_captures(session, ledger.switch) == found[1:]


async def test_stan_blocks_cover_all_numbers_once(ledger: LedgerHarness) -> None:
    """000001 to 999999, without a gap or overlap, whatever is asked for later."""
    session = await ledger.connect()
    await prepare_stans(session, "cover", "1", block_count=10_000)
    await prepare_stans(session, "cover", "1", block_count=7_000)
    taken = [await take_stans(session, "cover", "1", now_s=NOW_S) for _ in range(100)]
    assert [block.first for block in taken] == [1 + 10_000 * n for n in range(100)]
    assert all(low.first + low.count == high.first for low, high in pairwise(taken))
    assert taken[-1].first + taken[-1].count == 1_000_000
    assert {(block.floor_s, block.ceiling_s) for block in taken} == {(0, NOW_S + 60)}


@pytest.mark.parametrize("step_s", [1, 0, -3_600, 100_000])
async def test_no_block_meets_a_second_twice(ledger: LedgerHarness, step_s: int) -> None:
    """With a clock that runs, stands, steps back or leaps, later uses lie above earlier ones."""
    session = await ledger.connect()
    network = f"clock{step_s}"
    await prepare_stans(session, network, "1", block_count=333_333)
    used: dict[int, int] = {}
    now_s = NOW_S
    for _ in range(12):
        block = await take_stans(session, network, "1", now_s=now_s, use_s=5)
        assert block.floor_s > used.get(block.first, -1)
        assert block.ceiling_s >= max(now_s, block.floor_s) + 5
        used[block.first] = block.ceiling_s
        now_s += step_s


async def test_switches_take_different_blocks_at_once(ledger: LedgerHarness) -> None:
    """A block that somebody is taking is passed over, and networks do not mix."""
    session = await ledger.connect()
    await prepare_stans(session, "busy", "1", block_count=500_000)
    other = await ledger.session("superuser")
    await other.script(
        "BEGIN; SELECT FROM stan_blocks WHERE network = 'busy' AND first_stan = 1 FOR UPDATE"
    )
    block = await take_stans(session, "busy", "1", now_s=NOW_S)
    assert block.first == 500_001
    await other.script("SELECT FROM stan_blocks WHERE network = 'busy' FOR UPDATE")
    with pytest.raises(NoStanBlockError):
        await take_stans(session, "busy", "1", now_s=NOW_S)
    await other.script("ROLLBACK")
    with pytest.raises(NoStanBlockError):
        await take_stans(session, "busy", "never prepared", now_s=NOW_S)


async def test_two_switches_cut_the_blocks_once(ledger: LedgerHarness) -> None:
    """First starts at once, with different sizes, leave blocks of one size."""
    sessions = [await ledger.connect() for _ in range(4)]
    async with trio.open_nursery() as nursery:
        for count, session in enumerate(sessions, start=1):

            async def prepare(session: object = session, count: int = count) -> None:
                await prepare_stans(session, "twice", "1", block_count=100_000 * count)  # type: ignore[arg-type]

            nursery.start_soon(prepare)
    [(total,)] = await ledger.rows(
        "SELECT sum(stan_count)::bigint FROM stan_blocks WHERE network = 'twice'"
    )
    assert total == 999_999


def _us(year: int, month: int) -> int:
    return int(datetime(year, month, 15, tzinfo=UTC).timestamp()) * 1_000_000


async def test_months_are_made_ahead_and_once(ledger: LedgerHarness) -> None:
    """A partition of each table a month; over the turn of a year; a second run makes nothing."""
    session = await ledger.connect()
    made = await ensure_partitions(session, now_us=_us(2040, 11), months_ahead=2)
    assert made == 3 * len(PARTITIONED)
    assert await ensure_partitions(session, now_us=_us(2040, 11), months_ahead=2) == 0
    assert await ensure_partitions(session, now_us=_us(2041, 1), months_ahead=1) == len(PARTITIONED)
    january = intent(ledger.merchant_id, intent_id=lowest_id_at(_us(2041, 1)))
    await ledger.intents.create([january])
    [(partition,)] = await ledger.rows(
        "SELECT tableoid::regclass::text FROM payment_intents WHERE id = $1::uuid",
        january.intent_id,
    )
    assert partition == "payment_intents_2041_01"


async def test_bounds_of_months_meet_our_ids(ledger: LedgerHarness) -> None:
    """The last id of a month and the first of the next lie in different partitions."""
    session = await ledger.connect()
    await ensure_partitions(session, now_us=_us(2042, 2), months_ahead=1)
    turn_us = int(datetime(2042, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
    ids = [lowest_id_at(turn_us - 1_000)[:6] + b"\x7f" + b"\xff" * 9, lowest_id_at(turn_us)]
    await ledger.intents.create([intent(ledger.merchant_id, intent_id=id_) for id_ in ids])
    found = await ledger.rows(
        "SELECT tableoid::regclass::text FROM payment_intents"
        " WHERE id BETWEEN $1::uuid AND $2::uuid ORDER BY id",
        *ids,
    )
    assert found == [("payment_intents_2042_02",), ("payment_intents_2042_03",)]


async def test_a_month_that_has_stray_rows_is_not_made(ledger: LedgerHarness) -> None:
    """Rows in the DEFAULT partition stand in the way, and nothing is half made."""
    session = await ledger.connect()
    stray = intent(ledger.merchant_id, intent_id=lowest_id_at(_us(2050, 5)))
    await ledger.intents.create([stray])
    with pytest.raises(RowError) as refused:
        await ensure_partitions(session, now_us=_us(2050, 5), months_ahead=0)
    assert refused.value.sqlstate == "23514"
    [(made,)] = await ledger.rows(
        "SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_2050\\_05'"
    )
    assert made == 0
