"""Answers to nothing in flight: adopted where the ledger explains them, alarmed of otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from msgspec.structs import replace
from structlog.testing import capture_logs

from ledger.deciding.records import NewException
from ledger.errors import ConnectionLostError, PoolOverloadError, RetryableError
from ledger.recovery import OpenAttempt
from switch.core.response_codes import load_response_codes
from switch.link.correlation import correlation_key
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.orphans import (
    UNEXPLAINED_PER_MINUTE_MAX,
    Orphan,
    Orphans,
    answer_key,
)
from switch.pipeline.payment import PipelineCounts
from tests.support.pipeline import NOW_US, Attempts, Outcomes

RRN = "0ABCDEFGHIJK"
ATTEMPT = OpenAttempt(
    intent_id=(1).to_bytes(16),
    attempt_id=b"A" * 16,
    transaction_id=b"T" * 16,
    request_id=b"R" * 16,
    amount_minor=2499,
    currency="usd",
    network="vsim",
    acquirer_id="400001",
    mti="0200",
    stan="000017",
    rrn=RRN,
    de7="0115080000",
    epoch=3,
    deadline_at_us=NOW_US,
)


@attrs.define
class Scene:
    """The stage with its neighbors; the ledger knows one attempt."""

    stage: Orphans
    committer: Outcomes
    attempts: Attempts
    exceptions: list[NewException]

    async def receive(self, *answers: dict[int, str], network: str = "vsim") -> list[Any]:
        """Run the stage over answers; what was logged."""
        with capture_logs() as lines:
            await self.stage.handle(
                [Orphan(network, correlation_key(fields), fields) for fields in answers]
            )
        return [line["event"] for line in lines]


@pytest.fixture
def scene(counts: PipelineCounts, anomalies: Anomalies) -> Scene:
    """One attempt, unknown since recovery."""
    committer, attempts = Outcomes(), Attempts()
    attempts.known = [ATTEMPT]
    exceptions: list[NewException] = []

    async def open_exceptions(batch: Sequence[NewException]) -> None:
        await trio.lowlevel.checkpoint()
        exceptions.extend(batch)

    stage = Orphans(
        find_attempts=attempts.find,
        open_exceptions=open_exceptions,
        codes=load_response_codes(),
        committer=committer,  # type: ignore[arg-type]
        counts=counts,
        anomalies=anomalies,
        now_us=lambda: NOW_US + 9,
    )
    return Scene(stage, committer, attempts, exceptions)


def answer(code: str = "00", **changes: str) -> dict[int, str]:
    """The network's answer to the attempt, with changes by `de_N`; empty leaves an element out."""
    fields = {
        0: "0210",
        2: "4242424242424242",
        3: "000000",
        4: "000000002499",
        7: "0115080000",
        11: "000017",
        32: "400001",
        37: RRN,
        38: "A1B2C3",
        39: code,
        41: "TERM0001",
        42: "DEMOSHOP0000001",
        49: "840",
    }
    fields |= {int(name[3:]): value for name, value in changes.items()}
    return {de: value for de, value in fields.items() if value}


async def test_an_answer_to_an_attempt_of_the_ledger_is_adopted(
    scene: Scene, counts: PipelineCounts
) -> None:
    """Phase 2 of that very attempt, told by the network."""
    assert await scene.receive(answer()) == []
    (row,) = scene.committer.rows
    assert (row.attempt_id, row.transaction_id, row.intent_id, row.request_id) == (
        ATTEMPT.attempt_id,
        ATTEMPT.transaction_id,
        ATTEMPT.intent_id,
        ATTEMPT.request_id,
    )
    assert (row.phase, row.result, row.from_status, row.to_status, row.intent_to) == (
        2,
        "approved",
        "pending_verification",
        "succeeded",
        "succeeded",
    )
    assert (row.actor, row.response_code, row.approval_code) == ("network:vsim", "00", "A1B2C3")
    assert (row.at_us, counts.late_adopted_total) == (NOW_US + 9, 1)


async def test_a_decline_is_adopted_too(scene: Scene) -> None:
    """With the code and advice that the merchant would have heard in time."""
    await scene.receive(answer("51"))
    (row,) = scene.committer.rows
    assert (row.result, row.decline_code, row.advice) == (
        "declined",
        "insufficient_funds",
        "retry_later",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"de_0": "0110"},
        {"de_0": "0410"},
        {"de_0": "0230"},
        {"de_32": "400002"},
        {"de_11": "000018"},
        {"de_7": "0115080001"},
        {"de_37": "0ABCDEFGHIJL"},
        {"de_37": "not an RRN"},
        {"de_37": ""},
    ],
)
async def test_an_approval_that_is_not_the_attempt_s_answer_raises_the_alarm(
    changes: dict[str, str], scene: Scene, counts: PipelineCounts
) -> None:
    """Another class, function, acquirer or number explains nothing, whatever the rest says."""
    assert await scene.receive(answer(**changes)) == ["approval_without_attempt"]
    assert scene.committer.batches == []
    assert (counts.unexplained_total, counts.late_adopted_total) == (1, 0)


async def test_an_approval_on_another_network_raises_the_alarm(scene: Scene) -> None:
    """The numbers are the network's own."""
    assert await scene.receive(answer(), network="msim") == ["approval_without_attempt"]
    assert scene.committer.batches == []


async def test_an_unexplained_approval_opens_one_exception(scene: Scene) -> None:
    """With the numbers it takes to ask the network, without the card; repeats open no other."""
    await scene.receive(answer(de_11="000018"), answer(de_11="000018"))
    await scene.receive(answer(de_11="000018"))
    (exception,) = scene.exceptions
    assert (exception.kind, exception.network) == ("approval_without_attempt", "vsim")
    assert exception.detail == {
        "mti": "0210",
        "amount": "000000002499",
        "de7": "0115080000",
        "stan": "000018",
        "acquirer_id": "400001",
        "rrn": RRN,
        "approval_code": "A1B2C3",
        "response_code": "00",
        "currency": "840",
    }
    await scene.receive(answer(de_11="000019"), answer("05", de_11="000020"))
    assert [each.detail["stan"] for each in scene.exceptions] == ["000018", "000019"]


async def test_approvals_without_end_fill_no_table(scene: Scene, counts: PipelineCounts) -> None:
    """Past the bound of a minute they are counted only."""
    for number in range(UNEXPLAINED_PER_MINUTE_MAX + 5):
        await scene.receive(answer(de_37="garbage", de_11=f"{number:06d}"))
    assert len(scene.exceptions) == UNEXPLAINED_PER_MINUTE_MAX
    assert counts.unexplained_total == UNEXPLAINED_PER_MINUTE_MAX + 5


async def test_a_decline_of_nothing_is_no_alarm(scene: Scene, counts: PipelineCounts) -> None:
    """No money has moved: it was counted as unmatched where it came in."""
    assert await scene.receive(answer("05", de_11="000018")) == []
    assert counts.unexplained_total == 0
    assert scene.exceptions == []


@pytest.mark.parametrize(
    "changes",
    [
        {"de_4": "000000002498"},
        {"de_49": "978"},
        {"de_3": "200000"},
        {"de_41": ""},
        {"de_42": ""},
        {"de_39": "09"},
        {"de_39": "10"},
    ],
)
async def test_an_answer_that_decides_nothing_is_told_of(
    changes: dict[str, str], scene: Scene, counts: PipelineCounts
) -> None:
    """A wrong or missing echo, or a code in doubt, leaves the attempt unknown."""
    assert await scene.receive(answer(**changes)) == ["answer_in_doubt"]
    assert scene.committer.batches == []
    assert counts.late_undecided_total == 1


async def test_a_second_answer_waits_for_the_next_commit_and_is_told_of(
    scene: Scene, counts: PipelineCounts
) -> None:
    """The first stands by compare-and-set; the second is logged, never silently dropped."""
    scene.committer.moved_on = {1}
    events = await scene.receive(answer(), answer("05"))
    assert [len(batch) for batch in scene.committer.batches] == [1, 1]
    assert events == ["outcome_not_advanced"] * 2
    assert (counts.not_advanced_total, counts.late_adopted_total) == (2, 0)


async def test_only_what_has_an_rrn_of_ours_is_looked_up_and_all_at_once(scene: Scene) -> None:
    """One look-up a batch; garbage in DE 37 costs none, and keeps every other in its place."""
    await scene.receive(answer("05", de_37="garbage"), answer(), answer("05", de_37=""))
    ((asked,),) = scene.attempts.asked
    assert (asked.network, asked.rrn, asked.stan, asked.de7) == (
        "vsim",
        RRN,
        "000017",
        "0115080000",
    )
    assert [row.result for row in scene.committer.rows] == ["approved"]
    await scene.receive(answer("05", de_37="garbage"))
    assert len(scene.attempts.asked) == 1


async def test_a_ledger_that_is_away_is_asked_again(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """An approval is too dear to be dropped for a restart of Postgres."""
    scene.attempts.errors = [
        ConnectionLostError("gone"),
        RetryableError("starting up", sqlstate="57P03"),
        PoolOverloadError("full"),
    ]
    await scene.receive(answer())
    assert len(scene.attempts.asked) == 4
    assert [row.result for row in scene.committer.rows] == ["approved"]


async def test_a_fault_with_one_answer_harms_only_itself(
    scene: Scene, counts: PipelineCounts
) -> None:
    """An attempt whose currency nobody knows decides nothing; the other is adopted."""
    other = replace(ATTEMPT, intent_id=(2).to_bytes(16), stan="000018", currency="???")
    scene.attempts.known.append(other)
    events = await scene.receive(answer(de_11="000018"), answer())
    assert events == ["answer_not_judged", "answer_in_doubt"]
    assert [row.intent_id for row in scene.committer.rows] == [ATTEMPT.intent_id]
    assert counts.errors_total == 1


def test_an_attempt_and_its_answer_share_the_key_of_the_links() -> None:
    """The same function makes both, so they cannot drift apart."""
    assert answer_key(ATTEMPT) == correlation_key(answer())
