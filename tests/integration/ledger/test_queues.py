"""What waits: advices, doubts, exceptions and declines; and what operators may do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from ledger.deciding.records import NewException, Plan, VerificationRow
from ledger.exceptions import (
    close_exception,
    open_exceptions,
)
from ledger.leases import LeaseLostError, begin_epoch
from ledger.operators import OperatorError
from ledger.saf import (
    SafCount,
    SafDetail,
    count_saf,
    count_saf_sends,
    due_saf,
    saf_list,
    saf_resolve,
    saf_retry,
    saf_show,
)
from ledger.verifications import VerificationCount, count_verifications, due_verifications
from tests.support.deciding import Decide, queue_row, queued, reverse, saf_row
from tests.support.ledger import IDS, NOW_US, charge, outcome

if TYPE_CHECKING:
    from ledger.connection import Connection
    from tests.support.ledger import LedgerHarness

NETWORKS = ["vsim"]  # that take messages now


def _ids(rows: list[Any]) -> list[bytes]:
    return [row.attempt_id for row in rows]


async def test_advices_are_due_in_time_and_in_order(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """Soonest first over all payments; inside one, what came first, until it is gone."""
    rows = await ledger.charged(3)
    first = await queued(ledger, rows[0], due_at_us=NOW_US + 30)
    behind = await queued(ledger, rows[0], due_at_us=NOW_US + 10)
    sooner = await queued(ledger, rows[1], due_at_us=NOW_US + 20)
    await queued(ledger, rows[2], due_at_us=NOW_US + 1_000)
    due = await due_saf(switch, ledger.switch, now_us=NOW_US + 500, limit=9, networks=NETWORKS)
    assert _ids(due) == [sooner.attempt_id, first.attempt_id]
    assert [row.intent_id for row in due] == [rows[1].intent_id, rows[0].intent_id]
    assert _ids(
        await due_saf(switch, ledger.switch, now_us=NOW_US + 500, limit=1, networks=NETWORKS)
    ) == [sooner.attempt_id]
    gone = Plan(saf_drop=[first.attempt_id])
    await ledger.decisions.run([Decide(rows[0].intent_id, lambda _: gone)])
    due = await due_saf(switch, ledger.switch, now_us=NOW_US + 500, limit=9, networks=NETWORKS)
    assert _ids(due) == [behind.attempt_id, sooner.attempt_id]
    assert (
        await due_saf(switch, "somebody else", now_us=NOW_US + 500, limit=9, networks=NETWORKS)
        == []
    )


async def test_advices_of_networks_that_take_none_keep_nobody_waiting(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """They are left out, until an operator has said what became of one."""
    [there, here] = await ledger.charged(2)
    away = await queued(ledger, there, network="msim", due_at_us=NOW_US)
    message = await queued(ledger, here, due_at_us=NOW_US + 10)
    due = await due_saf(switch, ledger.switch, now_us=NOW_US + 500, limit=1, networks=NETWORKS)
    assert _ids(due) == [message.attempt_id]
    due = await due_saf(switch, ledger.switch, now_us=NOW_US + 500, limit=9, networks=["msim"])
    assert _ids(due) == [away.attempt_id]
    assert await due_saf(switch, ledger.switch, now_us=NOW_US + 500, limit=9, networks=[]) == []


async def test_what_waits_for_an_operator_is_never_due(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """It holds up neither what stands behind it nor other payments."""
    rows = await ledger.charged(2)
    poison = await queued(ledger, rows[0], manual=True)
    behind = [await queued(ledger, row) for row in rows]
    await queued(ledger, rows[0])
    due = await due_saf(switch, ledger.switch, now_us=NOW_US + 10**9, limit=9, networks=NETWORKS)
    assert _ids(due) == [message.attempt_id for message in behind]
    assert (
        await count_saf_sends(
            switch, ledger.switch, ledger.lease.epoch, [(poison.attempt_id, NOW_US)]
        )
        == {}
    )


async def test_sends_are_counted_before_they_leave(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """Each count is durable and says when to look again; what is gone must not leave."""
    rows = await ledger.charged(2)
    messages = [await queued(ledger, row) for row in rows]
    sends = [(message.attempt_id, NOW_US + 5_000) for message in messages]
    epoch = ledger.lease.epoch
    for repeats in (1, 2):
        counted = await count_saf_sends(
            switch, ledger.switch, epoch, [*sends, (IDS.next(), NOW_US)]
        )
        assert counted == {message.attempt_id: repeats for message in messages}
    row = await queue_row(ledger, rows[0])
    assert (row.repeats, row.due_at_us) == (2, NOW_US + 5_000)
    assert await count_saf_sends(switch, ledger.switch, epoch, []) == {}


async def test_an_older_epoch_counts_no_sends(ledger: LedgerHarness, switch: Connection) -> None:
    """What it sent would be sent by two processes."""
    [row] = await ledger.charged()
    message = await queued(ledger, row)
    await begin_epoch(switch, ledger.switch, ttl_s=10)
    with pytest.raises(LeaseLostError):
        await count_saf_sends(
            switch, ledger.switch, ledger.lease.epoch, [(message.attempt_id, NOW_US)]
        )
    assert (await queue_row(ledger, row)).repeats == 0


async def test_the_depth_of_the_queue_is_counted(ledger: LedgerHarness) -> None:
    """By network and kind, what waits for an operator apart."""
    rows = await ledger.charged(3)
    await ledger.rows("DELETE FROM store_and_forward RETURNING 1")
    for row, manual in zip(rows, (False, True, False), strict=True):
        await queued(ledger, row, manual=manual)
    await queued(ledger, rows[0], "completion")
    reader = await ledger.session("turnout_reader")
    counts = await count_saf(reader)
    assert [replace(count, oldest_at_us=0) for count in counts] == [
        SafCount("vsim", "completion", 1, 0, 0),
        SafCount("vsim", "release", 2, 1, 0),
    ]
    assert all(count.oldest_at_us > NOW_US for count in counts)


async def test_operators_see_the_queue(ledger: LedgerHarness, admin: Connection) -> None:
    """In pages, and one advice with its message's numbers; never a card."""
    rows = await ledger.charged(3)
    await ledger.rows("DELETE FROM store_and_forward RETURNING 1")
    messages = [await queued(ledger, row, manual=n == 1) for n, row in enumerate(rows)]
    page = await saf_list(admin, limit=2)
    assert [entry.row.attempt_id for entry in page] == _ids(messages[:2])
    rest = await saf_list(admin, above=page[-1].row.attempt_id)
    assert [entry.row.attempt_id for entry in rest] == _ids(messages[2:])
    [waiting] = await saf_list(admin, manual_only=True)
    assert waiting == page[1]
    assert (waiting.mti, waiting.stan, waiting.rrn, waiting.amount_minor) == (
        messages[1].mti,
        messages[1].stan,
        messages[1].rrn,
        2499,
    )
    assert await saf_show(admin, messages[1].attempt_id) == SafDetail(waiting, [], [])
    assert await saf_show(admin, IDS.next()) is None


async def test_an_advice_is_shown_with_what_was_opened_about_it(
    ledger: LedgerHarness, admin: Connection
) -> None:
    """Closed or not, oldest first; nothing of other attempts."""
    messages = [await queued(ledger, row, manual=True) for row in await ledger.charged(2)]
    opened = [
        NewException(kind, "vsim", attempt_id=message.attempt_id, detail={"response_code": "30"})
        for message in messages
        for kind in ("advice_rejected", "second_answer_approved")
    ]
    await open_exceptions(await ledger.connect(), opened)
    shown = await saf_show(admin, messages[0].attempt_id)
    assert shown is not None
    assert [(e.kind, e.detail, e.closed_at_us) for e in shown.exceptions] == [
        ("advice_rejected", {"response_code": "30"}, None),
        ("second_answer_approved", {"response_code": "30"}, None),
    ]
    await close_exception(admin, shown.exceptions[0].number, operator="ada")
    again = await saf_show(admin, messages[0].attempt_id)
    assert again is not None
    assert [e.closed_by for e in again.exceptions] == ["ada", None]


async def test_an_operator_has_an_advice_sent_again(
    ledger: LedgerHarness, admin: Connection, switch: Connection
) -> None:
    """Out of the manual queue, due at once, and written down."""
    [row] = await ledger.charged()
    message = await queued(ledger, row, manual=True, due_at_us=NOW_US + 10**12)
    await saf_retry(admin, message.attempt_id, operator="ada", note="the host is up again")
    assert not (await queue_row(ledger, row)).manual
    due = await due_saf(switch, ledger.switch, now_us=NOW_US + 10**9, limit=99, networks=NETWORKS)
    assert message.attempt_id in _ids(due)
    shown = await saf_show(admin, message.attempt_id)
    assert shown is not None
    assert [(a.operator, a.action, a.resolution, a.note) for a in shown.actions] == [
        ("ada", "saf_retry", "", "the host is up again")
    ]


@pytest.mark.parametrize("resolution", ["acknowledged", "refused"])
async def test_an_operator_tells_the_switch_what_became_of_an_advice(
    ledger: LedgerHarness, admin: Connection, switch: Connection, resolution: str
) -> None:
    """The row comes back to its switch with the operator's word, once; nothing else changes."""
    [row] = await ledger.charged()
    message = await queued(ledger, row, manual=True, due_at_us=NOW_US + 10**12)
    await saf_resolve(admin, message.attempt_id, resolution, operator="ada", note="called them")
    due = await due_saf(switch, ledger.switch, now_us=NOW_US + 10**9, limit=99, networks=NETWORKS)
    [told] = [found for found in due if found.attempt_id == message.attempt_id]
    assert (told.resolution, told.resolved_by, told.manual) == (resolution, "ada", False)
    epoch = ledger.lease.epoch
    assert await count_saf_sends(switch, ledger.switch, epoch, [(told.attempt_id, NOW_US)]) == {}
    with pytest.raises(OperatorError, match="no such advice is waiting"):
        await saf_retry(admin, message.attempt_id, operator="bob")
    with pytest.raises(OperatorError, match="no such advice is waiting"):
        await saf_resolve(admin, message.attempt_id, resolution, operator="bob")
    shown = await saf_show(admin, message.attempt_id)
    assert shown is not None
    assert [(a.operator, a.resolution) for a in shown.actions] == [("ada", resolution)]
    assert await ledger.status(row) == "succeeded"


async def test_operators_cannot_do_what_would_lose_money(
    ledger: LedgerHarness, admin: Connection
) -> None:
    """No reversal is refused, nothing is resolved that is still repeated, no word is made up."""
    [row, other] = await ledger.charged(2, result="unknown")
    message, closing = reverse(row)
    await ledger.decisions.run([Decide(row.intent_id, closing)])
    with pytest.raises(OperatorError, match="still being repeated"):
        await saf_resolve(admin, message.attempt_id, "acknowledged", operator="ada")
    poisoned = Plan(saf_update=[saf_row(message, manual=True)])
    await ledger.decisions.run([Decide(row.intent_id, lambda _: poisoned)])
    with pytest.raises(OperatorError, match="never given up"):
        await saf_resolve(admin, message.attempt_id, "refused", operator="ada")
    with pytest.raises(OperatorError, match="a resolution is one of"):
        await saf_resolve(admin, message.attempt_id, "forgotten", operator="ada")
    with pytest.raises(OperatorError, match="no such advice"):
        await saf_retry(admin, other.attempt_id, operator="ada")
    for operator, note in (("", ""), ("a" * 49, ""), ("a\n", ""), ("ada", "n" * 1_001)):
        with pytest.raises(OperatorError):
            await saf_retry(admin, message.attempt_id, operator=operator, note=note)
    shown = await saf_show(admin, message.attempt_id)
    assert shown is not None
    assert shown.actions == []
    assert shown.entry.row.manual


async def test_doubts_are_due_in_time(ledger: LedgerHarness, switch: Connection) -> None:
    """Soonest first; asked about and due later not; another switch's are not shown."""
    rows = [charge(of) for of in await ledger.created(3)]
    await ledger.charges.record(rows, lane="fast")
    told = [
        outcome(row, "unknown", verify_at_us=NOW_US + at, verify_until_us=NOW_US + 30)
        for row, at in zip(rows, (20, 10, 5_000), strict=True)
    ]
    await ledger.outcomes.settle(told)
    due = await due_verifications(
        switch, ledger.switch, now_us=NOW_US + 100, limit=9, networks=NETWORKS
    )
    assert _ids(due) == [rows[1].attempt_id, rows[0].attempt_id]
    expected = VerificationRow(
        rows[1].attempt_id, rows[1].transaction_id, "vsim", NOW_US + 10, NOW_US + 30
    )
    owned = {"intent_id": rows[1].intent_id, "owner": ledger.switch, "epoch": ledger.lease.epoch}
    assert due[0] == replace(expected, **owned)
    assert (
        await due_verifications(switch, "another", now_us=NOW_US + 100, limit=9, networks=NETWORKS)
        == []
    )
    asked = Plan(verify_update=[replace(due[0], due_at_us=NOW_US + 500, inquiries=1)])
    await ledger.decisions.run([Decide(rows[1].intent_id, lambda _: asked)])
    due = await due_verifications(
        switch, ledger.switch, now_us=NOW_US + 100, limit=9, networks=NETWORKS
    )
    assert _ids(due) == [rows[0].attempt_id]


async def test_a_window_closes_although_its_network_is_away(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """Nobody can ask about it, but it is due again when it is over."""
    [row] = [charge(of) for of in await ledger.created(1)]
    await ledger.charges.record([row], lane="fast")
    doubt = outcome(row, "unknown", verify_at_us=NOW_US, verify_until_us=NOW_US + 30)
    await ledger.outcomes.settle([doubt])
    away: dict[str, Any] = {"limit": 9, "networks": ["msim"]}
    assert await due_verifications(switch, ledger.switch, now_us=NOW_US + 29, **away) == []
    due = await due_verifications(switch, ledger.switch, now_us=NOW_US + 30, **away)
    assert _ids(due) == [row.attempt_id]


async def test_doubts_are_counted(ledger: LedgerHarness) -> None:
    """By network, for metrics."""
    await ledger.rows("DELETE FROM verifications RETURNING 1")
    [of] = await ledger.created()
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    await ledger.outcomes.settle([outcome(row, "unknown", verify_at_us=NOW_US)])
    [count] = await count_verifications(await ledger.session("turnout_reader"))
    assert replace(count, oldest_at_us=0) == VerificationCount("vsim", 1, 0)
