"""`turnout bench doubts`: how long a payment is in doubt when its network answers inquiries.

The run starts a stack of its own and charges through the API at a constant rate. Every second card
is one that its network approves without a word, so the charge passes its deadline and is in doubt;
the switch finds the approval out by an inquiry (0600). For each of these payments time counts from
the outcome `unknown` to the one that resolves it, as both stand in the ledger. Afterwards none may
be in doubt or have been reversed, and the three witnesses must agree.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

import attrs
import psycopg
import trio

from benchmarks.agreement import Agreement, Told, agree
from benchmarks.latency import percentiles
from benchmarks.prepared import card_numbers
from benchmarks.report import Document, WrongResultsError, bench_document, progress
from benchmarks.witnesses import REST_TICK_S, attempts_held, network_decisions, wait_for_rest
from benchmarks.workplace import durability, reader_dsn
from chassis.settings import Settings
from stack.temporary import TemporaryStack, temporary_stack
from turnout_client import Card
from turnout_client.on_trio import TrioTurnout

SILENT: Final = "4000000000006801"  # approved, not answered; an inquiry says so
SILENT_NETWORK: Final = "vsim"
SEED: Final = 8_583
FOUND_OUT: Final = frozenset({"approved", "declined"})
CONNECTIONS_MAX: Final = 4_096
REST_S: Final = 60.0  # past every window of inquiries, and the reversals behind them

# A doubt is a request whose first outcome is unknown. Inquiries are attempts of their own.
DOUBTS_SQL: Final = """
SELECT extract(epoch FROM two.at - one.at)::float8, coalesce(two.result, '')
FROM attempts AS a
JOIN outcomes AS one
    ON one.intent_id = a.intent_id AND one.attempt_id = a.id AND one.phase = 1
LEFT JOIN outcomes AS two
    ON two.intent_id = a.intent_id AND two.attempt_id = a.id AND two.phase = 2
WHERE a.kind = 'request' AND one.result = 'unknown'
"""
INQUIRIES_SQL: Final = "SELECT count(*) FROM attempts WHERE kind = 'inquiry'"


@attrs.frozen(kw_only=True)
class Found:
    """What became of the doubts.

    Attributes:
        resolved_s: from the time-out to the resolution, of each that was found out.
        otherwise: how many were reversed, or not resolved at all.
        inquiries: sent for all of them.
    """

    resolved_s: list[float]
    otherwise: int
    inquiries: int


def run(*, count: int = 1_000, rate: float = 50.0, keep: bool = False) -> Document:
    """Measure how long doubts last.

    Args:
        count: charges to make; every second one comes into doubt.
        rate: charges a second.
        keep: leave the data directory behind.

    Raises:
        WrongResultsError: a payment was not found out, or the three witnesses do not agree.
        UnrealStorageError: commits would not be durable where the data lies.
    """
    return trio.run(partial(_run, count=count, rate=rate, keep=keep))


async def _run(*, count: int, rate: float, keep: bool) -> Document:
    async with temporary_stack({"log.level": "warning"}, keep=keep) as stack:
        dsn = reader_dsn(stack)
        facts = await trio.to_thread.run_sync(durability, dsn, stack.data_dir)
        progress(f"charging {count:,} times, every second time without an answer ...")
        told = await _charge(stack, count, rate)
        progress("waiting until nothing is in doubt ...")
        await trio.to_thread.run_sync(_rest, dsn)
        found = await trio.to_thread.run_sync(_found, dsn)
        held = await trio.to_thread.run_sync(attempts_held, dsn)
        decisions = network_decisions(stack.data_dir, sorted(stack.endpoints.networks))
        agreement = agree(len(told), told, held, decisions)
    network = Settings().networks[SILENT_NETWORK]  # the stack runs on the defaults
    return _document(
        {
            "count": count,
            "rate_per_s": rate,
            "response_deadline_s": network.response_deadline_s,
            "inquiry_times_s": list(network.inquiry_times_s),
            "inquiry_window_s": network.inquiry_window_s,
            **facts,
        },
        found,
        agreement,
        expected=count // 2,
    )


async def _charge(stack: TemporaryStack, count: int, rate: float) -> list[Told]:
    """Charge in an open loop; what the merchant was told."""
    credentials = stack.credentials()
    told: list[Told] = []
    ordinary = iter(card_numbers(count, SEED))
    async with (
        TrioTurnout(
            credentials.publishable_key,
            credentials.secret_key,
            stack.endpoints.api.url,
            connections_max=CONNECTIONS_MAX,
        ) as shop,
        trio.open_nursery() as payments,
    ):
        began = trio.current_time()
        for number in range(count):
            await trio.sleep_until(began + number / rate)
            pan = SILENT if number % 2 else next(ordinary)
            payments.start_soon(_pay, shop, pan, told)
    return told


async def _pay(shop: TrioTurnout, pan: str, told: list[Told]) -> None:
    intent = await shop.create_payment_intent(2_499, "usd")
    card = Card(number=pan, exp_month=12, exp_year=2030, cvc="123")
    transaction = await shop.charge(intent, await shop.seal(intent, card))
    told.append(Told(transaction.payment_intent, transaction.id, transaction.status))


def _rest(dsn: str) -> None:
    """Wait until no doubt is open and no advice is on its way.

    Raises:
        WrongResultsError: some still were after `REST_S`.
    """
    deadline = time.monotonic() + REST_S
    with psycopg.connect(dsn, autocommit=True) as session:
        while session.execute("SELECT FROM verifications LIMIT 1").fetchone() is not None:
            if time.monotonic() > deadline:
                raise WrongResultsError(f"payments were still in doubt after {REST_S:g} s")
            time.sleep(REST_TICK_S)
    try:
        wait_for_rest(dsn, limit_s=REST_S)
    except TimeoutError as error:
        raise WrongResultsError(str(error)) from error


def _found(dsn: str) -> Found:
    with psycopg.connect(dsn) as session:
        rows = session.execute(DOUBTS_SQL).fetchall()
        row = session.execute(INQUIRIES_SQL).fetchone()
    resolved_s = [waited_s for waited_s, result in rows if result in FOUND_OUT]
    return Found(
        resolved_s=resolved_s,
        otherwise=len(rows) - len(resolved_s),
        inquiries=row[0] if row else 0,
    )


def _document(
    parameters: dict[str, object], found: Found, agreement: Agreement, *, expected: int
) -> Document:
    if not agreement.holds or found.otherwise or len(found.resolved_s) < max(1, expected):
        raise WrongResultsError(
            f"{expected} doubts expected, {len(found.resolved_s)} found out, "
            f"{found.otherwise} ended otherwise, "
            f"lost {agreement.lost[:5]}, duplicated {agreement.duplicated[:5]}, "
            f"disagree {agreement.disagree[:5]}"
        )
    results = {
        "doubts": len(found.resolved_s),
        **{f"resolved_{name}": value for name, value in percentiles(found.resolved_s).items()},
        "inquiries_per_doubt": found.inquiries / len(found.resolved_s),
        "lost": len(agreement.lost),
        "duplicated": len(agreement.duplicated),
        "disagree": len(agreement.disagree),
    }
    return bench_document("doubts", parameters, results, {})
