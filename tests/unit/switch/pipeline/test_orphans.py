"""Answers to nothing in flight: decided where the ledger explains them, alarmed of otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from msgspec.structs import replace
from structlog.testing import capture_logs

from chassis.settings import Network
from chassis.stage import Inbox
from ledger.deciding.records import NewException
from ledger.errors import ConnectionLostError, PoolOverloadError, RetryableError
from ledger.records import Lost
from ledger.recovery import OpenAttempt
from switch.carriers import Carrier
from switch.core.numbers import StanAllocator
from switch.core.operations.records import Conclusion
from switch.core.response_codes import load_response_codes
from switch.iso8583 import load_dialect
from switch.link.correlation import correlation_key
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.orphans import (
    ORPHANS_MAX,
    TRIES_MAX,
    UNEXPLAINED_PER_MINUTE_MAX,
    Orphan,
    Orphans,
    answer_key,
)
from switch.pipeline.payment import PipelineCounts
from tests.support.pipeline import NOW_US, Attempts, Group, Handovers, transaction_row

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
    terminal_id="TERM0001",
    card_acceptor_id="DEMOSHOP0000001",
    original_mti="0200",
    original_stan="000011",
    original_de7="0115075959",
    original_acquirer_id="400001",
)
ORIGINAL = "020000001101150759590000040000100000000000"


@attrs.define
class Scene:
    """The stage with its neighbors; the ledger knows one attempt."""

    stage: Orphans
    inbox: Inbox[Orphan]
    aftermath: Handovers
    attempts: Attempts
    exceptions: list[NewException]

    @property
    def results(self) -> list[str]:
        """What was found out, in order."""
        return [told.finding.result for told in self.aftermath.told]

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
    aftermath, attempts = Handovers(), Attempts()
    attempts.known = [ATTEMPT]
    exceptions: list[NewException] = []
    inbox: Inbox[Orphan] = Inbox(ORPHANS_MAX, name="orphans")
    carrier = Carrier(Network(), load_dialect("net87b"), Group(), StanAllocator())  # type: ignore[arg-type]

    async def open_exceptions(batch: Sequence[NewException]) -> None:
        await trio.lowlevel.checkpoint()
        exceptions.extend(batch)

    stage = Orphans(
        inbox=inbox,
        carriers={"vsim": carrier},
        find_attempts=attempts.find,
        open_exceptions=open_exceptions,
        codes=load_response_codes(),
        aftermath=aftermath,
        counts=counts,
        anomalies=anomalies,
        now_us=lambda: NOW_US + 9,
    )
    return Scene(stage, inbox, aftermath, attempts, exceptions)


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


async def test_an_answer_to_an_attempt_of_the_ledger_is_handed_over(
    scene: Scene, counts: PipelineCounts
) -> None:
    """That very attempt's, told by the network; it counts once something came of it."""
    assert await scene.receive(answer()) == []
    (told,) = scene.aftermath.told
    assert (told.intent_id, told.attempt_id) == (ATTEMPT.intent_id, ATTEMPT.attempt_id)
    assert (told.finding.result, told.finding.approval_code, told.actor, told.second) == (
        "approved",
        "A1B2C3",
        "network:vsim",
        False,
    )
    told.concluded(Conclusion(transaction_row(1), moved=False))
    assert counts.late_adopted_total == 0
    told.concluded(Conclusion(transaction_row(1), moved=True))
    assert counts.late_adopted_total == 1


async def test_a_decline_is_handed_over_too(scene: Scene) -> None:
    """With the code and advice that the merchant would have heard in time."""
    await scene.receive(answer("51"))
    (told,) = scene.aftermath.told
    assert (told.finding.result, told.finding.decline_code, told.finding.advice) == (
        "declined",
        "insufficient_funds",
        "retry_later",
    )


@pytest.mark.parametrize(
    ("changes", "fields", "result"),
    [
        ({"mti": "0420", "kind": "reversal"}, {"de_0": "0430"}, "approved"),
        ({"mti": "0420", "kind": "reversal"}, {"de_0": "0430", "code": "25"}, "nothing_found"),
        ({"mti": "0220", "type": "capture"}, {"de_0": "0230", "code": "91"}, "retry"),
        ({"mti": "0400", "type": "cancel"}, {"de_0": "0410"}, "approved"),
        ({"type": "refund"}, {"de_3": "200000", "code": "05"}, "declined"),
        (
            {"mti": "0100", "type": "verification", "amount_minor": 0},
            {"de_0": "0110", "de_3": "380000", "de_4": "0" * 12, "code": "85"},
            "approved",
        ),
        (
            {"mti": "0600", "kind": "inquiry"},
            {"de_0": "0610", "de_62": f"00A1B2C3{2499:012d}0", "de_90": ORIGINAL},
            "approved",
        ),
        (
            {"mti": "0600", "kind": "inquiry"},
            {"de_0": "0610", "de_62": f"51      {0:012d}0", "de_90": ORIGINAL},
            "declined",
        ),
    ],
)
async def test_every_kind_of_answer_is_read_as_what_it_is(
    changes: dict[str, Any], fields: dict[str, str], result: str, scene: Scene
) -> None:
    """By the message that it answers: advices cannot be declined, inquiries tell of another."""
    scene.attempts.known = [replace(ATTEMPT, **changes)]
    assert await scene.receive(answer(**fields)) == []
    assert scene.results == [result]


async def test_a_second_answer_is_decided_on_once_the_first_is_recorded(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """Until then it is looked at again; it would be taken for the first."""
    fields = answer("05")
    second = Orphan("vsim", correlation_key(fields), fields, second=True)
    await scene.stage.handle([second])
    (told,) = scene.aftermath.told
    assert told.second
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.stage.hear_again)
        told.concluded(Lost("no_result_yet"))
        assert await scene.inbox.take(1) == [second]
        await scene.stage.handle([second])
        scene.aftermath.told[1].concluded(Conclusion(transaction_row(1), moved=False))
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert len(scene.inbox) == 0


async def test_a_second_answer_does_not_wait_for_ever(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """After some seconds the first will not be recorded by this process any more."""
    fields = answer("05")
    orphan = Orphan("vsim", correlation_key(fields), fields, second=True, tries=TRIES_MAX)
    await scene.stage.handle([orphan])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.stage.hear_again)
        scene.aftermath.told[0].concluded(Lost("no_result_yet"))
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert len(scene.inbox) == 0


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
    assert scene.aftermath.told == []
    assert counts.unexplained_total == 1


async def test_an_approval_on_another_network_raises_the_alarm(scene: Scene) -> None:
    """The numbers are the network's own."""
    assert await scene.receive(answer(), network="msim") == ["approval_without_attempt"]
    assert scene.aftermath.told == []


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


@pytest.mark.parametrize("mti", ["0510", "0530", "0610", "0630"])
async def test_00_to_what_moves_no_money_is_no_alarm(
    mti: str, scene: Scene, counts: PipelineCounts
) -> None:
    """Totals and inquiries are answered 00 too, and approve nothing."""
    assert await scene.receive(answer(de_0=mti, de_11="000018")) == []
    assert (counts.unexplained_total, scene.exceptions) == (0, [])


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
        {"de_41": "TERM0002"},
        {"de_42": ""},
        {"de_42": "DEMOSHOP0000002"},
        {"de_39": "09"},
        {"de_39": "10"},
        {"de_39": "85"},
    ],
)
async def test_an_answer_that_decides_nothing_is_told_of(
    changes: dict[str, str], scene: Scene, counts: PipelineCounts
) -> None:
    """A wrong or missing echo, or a code in doubt, leaves the attempt unknown."""
    assert await scene.receive(answer(**changes)) == ["answer_in_doubt"]
    assert scene.aftermath.told == []
    assert counts.late_undecided_total == 1


async def test_an_inquiry_s_answer_about_another_original_decides_nothing(scene: Scene) -> None:
    """DE 90 must name the request that the inquiry was about."""
    scene.attempts.known = [replace(ATTEMPT, mti="0600", kind="inquiry")]
    other = ORIGINAL.replace("000011", "000012")
    told = answer(de_0="0610", de_62=f"00A1B2C3{2499:012d}0", de_90=other)
    assert await scene.receive(told) == ["answer_in_doubt"]
    assert scene.aftermath.told == []


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
    assert scene.results == ["approved"]
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
    assert scene.results == ["approved"]


async def test_a_fault_with_one_answer_harms_only_itself(
    scene: Scene, counts: PipelineCounts
) -> None:
    """An attempt whose currency nobody knows decides nothing; the other is adopted."""
    other = replace(ATTEMPT, intent_id=(2).to_bytes(16), stan="000018", currency="???")
    scene.attempts.known.append(other)
    events = await scene.receive(answer(de_11="000018"), answer())
    assert events == ["answer_not_judged", "answer_in_doubt"]
    assert [told.intent_id for told in scene.aftermath.told] == [ATTEMPT.intent_id]
    assert counts.errors_total == 1


def test_an_attempt_and_its_answer_share_the_key_of_the_links() -> None:
    """The same function makes both, so they cannot drift apart."""
    assert answer_key(ATTEMPT) == correlation_key(answer())
