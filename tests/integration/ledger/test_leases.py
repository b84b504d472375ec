"""Heartbeats, takeovers and the mark of recovery, as Postgres carries them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from ledger.errors import RetryableError
from ledger.leases import (
    Lease,
    LeaseLostError,
    begin_epoch,
    lowest_open,
    note_recovered,
    renew_leases,
    take_over,
)
from ledger.records import Won
from ledger.recovery import open_attempts
from ledger.rows import LeaseRow
from tests.support.ledger import IDS, charge, outcome

if TYPE_CHECKING:
    from ledger.connection import Connection
    from tests.support.ledger import LedgerHarness

HIGHEST = b"\xff" * 16


async def leases(session: Connection) -> dict[str, LeaseRow]:
    """Every lease by its switch."""
    _, rows = await renew_leases(session, [], ttl_s=10)
    return {row.switch: row for row in rows}


async def left_s(ledger: LedgerHarness, switch: str) -> float:
    """How long a lease lives on, by the database's clock."""
    [(milliseconds,)] = await ledger.rows(
        "SELECT (extract(epoch FROM expires_at - now()) * 1000)::bigint"
        f" FROM switch_leases WHERE switch = '{switch}'"
    )
    return float(milliseconds) / 1_000


async def test_a_heartbeat_renews_every_lease_that_has_no_newer_epoch(
    ledger: LedgerHarness,
) -> None:
    """One statement for all; the mark moves up, never down; times may be parts of a second."""
    session = await ledger.connect()
    held = [await begin_epoch(session, f"beat-{name}", ttl_s=0.5) for name in "abc"]
    await begin_epoch(session, "beat-b", ttl_s=0.5)
    mark = IDS.next()
    assert 0.3 < await left_s(ledger, "beat-a") <= 0.5
    renewed, rows = await renew_leases(
        session, [attrs.evolve(lease, recover_from=mark) for lease in held], ttl_s=30.25
    )
    assert renewed == {"beat-a", "beat-c"}
    assert 29 < await left_s(ledger, "beat-a") <= 30.25
    assert await left_s(ledger, "beat-b") <= 0.5
    found = {row.switch: row for row in rows}
    assert {"beat-a", "beat-b", "beat-c", ledger.switch} <= found.keys()
    assert (found["beat-a"].recover_from, found["beat-b"].recover_from) == (mark, bytes(16))
    await renew_leases(session, held, ttl_s=10)  # with a mark of zero
    after = (await leases(session))["beat-a"]
    assert after.recover_from == mark
    assert after.expires_at_us != found["beat-a"].expires_at_us


async def test_a_lease_is_taken_over_only_as_it_was_read(ledger: LedgerHarness) -> None:
    """A heartbeat or an epoch in between keeps it where it is, and of two takers one wins."""
    session = await ledger.connect()
    old = await begin_epoch(session, "gone", ttl_s=10)
    mark = IDS.next()
    await note_recovered(session, old, mark)
    read = (await leases(session))["gone"]
    await renew_leases(session, [old], ttl_s=10)
    assert await take_over(session, read, ttl_s=10) is None
    read = (await leases(session))["gone"]
    assert await take_over(session, read, ttl_s=10) == Lease("gone", old.epoch + 1, mark)
    assert await take_over(session, read, ttl_s=10) is None
    assert (await renew_leases(session, [old], ttl_s=10))[0] == set()
    back = await begin_epoch(session, "gone", ttl_s=10)
    assert back.epoch == old.epoch + 2


async def test_a_heartbeat_passes_commits_and_a_takeover_waits_for_them(
    ledger: LedgerHarness,
) -> None:
    """Commits hold the lease FOR KEY SHARE: an update passes, FOR UPDATE does not."""
    session = await ledger.connect()
    lease = await begin_epoch(session, "busy", ttl_s=10)
    commit = await ledger.session("superuser")
    await commit.script("BEGIN; SELECT FROM switch_leases WHERE switch = 'busy' FOR KEY SHARE")
    assert (await renew_leases(session, [lease], ttl_s=10))[0] == {"busy"}
    read = (await leases(session))["busy"]
    with pytest.raises(RetryableError) as waiting:
        await take_over(session, read, ttl_s=10)
    assert waiting.value.sqlstate == "55P03"
    await commit.script("ROLLBACK")
    assert await take_over(session, read, ttl_s=10) is not None


async def test_a_commit_that_meets_a_takeover_is_refused(ledger: LedgerHarness) -> None:
    """It waits for the taker's lock, and then finds a newer epoch: nothing is recorded."""
    (of,) = await ledger.created()
    taker = await ledger.session("superuser")
    await taker.script(
        f"BEGIN; SELECT FROM switch_leases WHERE switch = '{ledger.switch}' FOR UPDATE"
    )
    late = ledger.charge_committer(connect=ledger.connect_patiently)
    async with trio.open_nursery() as nursery:

        async def commit() -> None:
            with pytest.raises(LeaseLostError):
                await late.record([charge(of)], lane="fast")

        nursery.start_soon(commit)
        await ledger.waiting_backends()
        await taker.script(
            f"UPDATE switch_leases SET epoch = epoch + 1 WHERE switch = '{ledger.switch}'; COMMIT"
        )
    await late.aclose()
    assert await ledger.status(of) == "created"
    assert await ledger.count("attempts", of) == 0


async def test_the_lowest_open_attempt(ledger: LedgerHarness) -> None:
    """Settled ones are passed over, and those that store-and-forward carries on."""
    session = await ledger.connect()
    rows = [charge(of) for of in await ledger.created(6)]
    ids = [row.attempt_id for row in rows]
    verdicts = await ledger.charges.record(rows, lane="fast")
    assert all(isinstance(verdict, Won) for verdict in verdicts)

    async def search(
        *, from_id: bytes = bytes(16), up_to: bytes = HIGHEST, most: int = 99
    ) -> bytes:
        return await lowest_open(
            session, ledger.switch, from_id=from_id, up_to=up_to, rows_max=most
        )

    assert await search() == ids[0]
    await ledger.outcomes.settle([outcome(row) for row in (*rows[:2], rows[3])])
    assert await search() == ids[2]
    assert await search(up_to=ids[2]) == ids[2]  # none below it is open
    assert await search(most=2) == ids[1]  # looked at no more
    assert await search(from_id=ids[3]) == ids[4]
    await ledger.rows(
        "INSERT INTO store_and_forward"
        " (attempt_id, intent_id, transaction_id, due_at, epoch, owner, network, kind)"
        " SELECT id, intent_id, transaction_id, now(), epoch, owner, network, 'request'"
        " FROM attempts WHERE id = $1::uuid RETURNING attempt_id",
        ids[2],
    )
    assert await search() == ids[4]
    recovered = await open_attempts(session, ledger.switch)
    assert [attempt.attempt_id for attempt in recovered] == [ids[4], ids[5]]
    await ledger.outcomes.settle([outcome(row) for row in rows[4:]])
    assert await search() == HIGHEST
    assert await search(most=6) == ids[5]
    assert (
        await lowest_open(session, "somebody else", from_id=ids[0], up_to=ids[5], rows_max=9)
        == (ids[5])
    )
