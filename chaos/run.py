"""A whole run: a stack of its own, load and faults, rest, the witnesses, one document."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from chaos.agreement import Verdict, agree
from chaos.audited import Audited, verify_audit
from chaos.booked import Booked, read_booked
from chaos.books import read_books
from chaos.faults import Clock, Saboteur
from chaos.ledger_rows import read_ledger
from chaos.records import Ledger, Line, Merchant
from chaos.rest import come_to_rest
from chaos.schedule import NETWORKS, Fault, schedule
from chaos.scripts import script_of
from chaos.shop import CONNECTIONS_MAX, PATIENT, Shop
from chaos.stream_rows import read_streamed
from chaos.streamed import Streamed
from chassis import crash_points
from chassis.settings import Settings
from ledger.roles import READER
from stack.database import dsn_of_running
from stack.temporary import TemporaryStack, temporary_stack
from turnout_client.on_trio import TrioTurnout

RATE_PER_S: Final = 40.0
STORIES_END_WITHIN_S: Final = 120.0  # after the last payment has begun
REST_WITHIN_S: Final = 120.0
STREAMED_WITHIN_S: Final = 60.0  # the relay's way to where the ledger is at rest
PROGRESS_EVERY_S: Final = 10.0
SHOWN_MAX: Final = 20  # payments that are named on standard error
CLOCK_FILE: Final = "clock"
CRASH_POINT_FILE: Final = "crash-point"
# Nobody waits for what a real network would be given: windows of inquiries, pauses between repeats
# and restarts are short, so that a run sees many of each.
HASTE: Final[Mapping[str, str]] = {
    "supervisor.restart_max_s": "1",
    "ledger.stop_timeout_s": "5",  # of a Postgres that was asked to stop while it recovers
    "log.level": "warning",
    **{
        f"networks.{name}.{key}": value
        for name in NETWORKS
        for key, value in {
            "inquiry_times_s": "0.5,1,2.5",
            "inquiry_window_s": "5",
            "reconnect_max_s": "2",
            "saf_repeat_min_s": "0.5",
            "saf_repeat_max_s": "4",
            "saf_slow_s": "4",
        }.items()
    },
}


@attrs.frozen(kw_only=True)
class Order:
    """What to run.

    Attributes:
        seed: of payments and faults.
        duration_s: of the load.
        rate_per_s: payments begun.
        switches: processes of the switch.
        keep: leave the data directory behind.
    """

    seed: int
    duration_s: float
    rate_per_s: float = RATE_PER_S
    switches: int = 1
    keep: bool = False


@attrs.frozen(kw_only=True)
class Witnesses:
    """What merchant, ledger and networks said, with everything at rest.

    Attributes:
        streamed: what came of holding the event stream to the ledger.
        audited: what came of verifying the audit log.
        booked: what came of holding the postings to the payments.
    """

    merchant: Merchant
    ledger: Ledger
    books: Sequence[Line]
    streamed: Streamed
    audited: Audited
    booked: Booked

    def compared(self) -> Verdict:
        """The three held against each other."""
        return agree(self.merchant, self.ledger, self.books)


@attrs.frozen(kw_only=True)
class Run:
    """What came of a run."""

    order: Order
    charges: int
    faults: Sequence[dict[str, Any]]
    witnesses: Witnesses
    verdict: Verdict

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong with anything."""
        witnesses = self.witnesses
        streamed = witnesses.streamed.holds and witnesses.audited.ok and witnesses.booked.holds
        return self.verdict.holds and streamed

    def document(self) -> dict[str, Any]:
        """As `turnout chaos --json` prints it (contract 1), stream, audit log and books besides."""
        verdict = self.verdict
        return {
            "seed": self.order.seed,
            "charges": self.charges,
            "faults": list(self.faults),
            "unresolved": len(verdict.unresolved),
            "lost": len(verdict.lost),
            "duplicated": len(verdict.duplicated),
            "disagree": list(verdict.disagree),
            "stream": self.witnesses.streamed.document(),
            "audit": self.witnesses.audited.document(),
            "postings": self.witnesses.booked.document(),
        }


def processes_of(switches: int) -> list[str]:
    """The names of the stack's processes that faults are done to."""
    hsm = [f"hsm-{number}" for number in range(Settings().hsm.workers)]
    return [
        *("api", "postgres", "relay", "audit", "postings"),
        *hsm,
        *NETWORKS,
        *(f"switch-{number}" for number in range(switches)),
    ]


async def run_chaos(order: Order) -> Run:
    """Run load and faults on a stack of its own, and compare the witnesses.

    Raises:
        TemporaryStackError: the stack did not become ready.
    """
    faults = schedule(order.seed, order.duration_s, processes_of(order.switches))
    folder = _make_folder()
    try:
        clock = Clock(folder / CLOCK_FILE)
        settings = _settings(order, faults, folder)
        _say(f"seed {order.seed}: {len(faults)} faults in {order.duration_s:g} s")
        async with (
            temporary_stack(settings, parent=folder, keep=order.keep) as stack,
            merchant(stack, clock) as client,
        ):
            shop = Shop(client, order.seed)
            saboteur = Saboteur(
                stack, shop, clock, crash_point=folder / CRASH_POINT_FILE, seed=order.seed
            )
            await _load(order, faults, shop, saboteur)
            run = await _judge(order, stack, shop, saboteur)
        if stack.exit_code:
            _say(f"the stack ended with status {stack.exit_code}")
        return run
    finally:
        if order.keep:
            _say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _make_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="turnout-chaos-"))
    folder.chmod(0o711)  # other users pass through to what is theirs
    return folder


def _settings(order: Order, faults: Sequence[Fault], folder: Path) -> dict[str, str]:
    """The stack's settings; writes the fault scripts that they name."""
    settings = dict(HASTE) | {
        "switch.processes": str(order.switches),
        "testing.clock_offset_file": str(folder / CLOCK_FILE),
        "testing.crash_point_file": str(folder / CRASH_POINT_FILE),
    }
    crash_points.disarm(folder / CRASH_POINT_FILE)
    for network in NETWORKS:
        path = folder / f"{network}.jsonl"
        path.write_text(script_of(network, faults, seed=order.seed))
        path.chmod(0o644)  # the networks have users of their own
        settings[f"networks.{network}.script"] = str(path)
    return settings


@asynccontextmanager
async def merchant(stack: TemporaryStack, clock: Clock) -> AsyncIterator[TrioTurnout]:
    """The demo shop, which never gives up; its clock is the stack's."""
    credentials = stack.credentials()
    async with TrioTurnout(
        credentials.publishable_key,
        credentials.secret_key,
        stack.endpoints.api.url,
        policy=PATIENT,
        connections_max=CONNECTIONS_MAX,
        now=clock.now,
    ) as client:
        yield client


async def _load(order: Order, faults: Sequence[Fault], shop: Shop, saboteur: Saboteur) -> None:
    """Payments and faults for as long as was asked; then the payments that are left."""
    async with trio.open_nursery() as watch:
        watch.start_soon(_tell, shop)
        with trio.move_on_after(order.duration_s + STORIES_END_WITHIN_S):
            async with trio.open_nursery() as stories:
                with trio.move_on_after(order.duration_s):
                    async with trio.open_nursery() as busy:
                        busy.start_soon(shop.trade, order.rate_per_s, stories)
                        busy.start_soon(saboteur.follow, faults, stories)
                saboteur.relent()
                _say(f"no more faults; {shop.counts.begun - shop.counts.ended} payments go on")
        watch.cancel_scope.cancel()
    for fault in saboteur.missed:
        _say(f"not done: {fault.kind} {fault.target} at {fault.at_s:g} s")


async def _tell(shop: Shop) -> None:
    began = trio.current_time()
    while True:
        await trio.sleep(PROGRESS_EVERY_S)
        counts = shop.counts
        _say(
            f"{trio.current_time() - began:4.0f} s: {counts.begun} payments begun, "
            f"{counts.ended} over, {shop.under_way} requests under way"
        )


async def _judge(order: Order, stack: TemporaryStack, shop: Shop, saboteur: Saboteur) -> Run:
    witnesses = await hear(stack, shop)
    verdict = witnesses.compared()
    _summarize(shop, verdict)
    for text in (
        *witnesses.streamed.named,
        *map(str, witnesses.audited.findings),
        *witnesses.booked.named,
    ):
        _say(text)
    _say(f"exceptions opened: {_listed(witnesses.ledger.exceptions)}")
    return Run(
        order=order,
        charges=shop.counts.charges,
        faults=[done.document() for done in sorted(saboteur.done, key=attrgetter("at_s"))],
        witnesses=witnesses,
        verdict=verdict,
    )


async def hear(stack: TemporaryStack, shop: Shop) -> Witnesses:
    """Wait until a stack is at rest, and hear the witnesses."""
    dsn = dsn_of_running(Settings(), stack.data_dir, stack.refresh(), READER)
    left = await come_to_rest(dsn, REST_WITHIN_S)
    for name, number in left.items():
        _say(f"not at rest: {number} {name}")
    read = trio.to_thread.run_sync
    books = partial(read_booked, within_s=STREAMED_WITHIN_S)
    compare = partial(read_streamed, within_s=STREAMED_WITHIN_S)
    booked = await read(books, dsn)  # first, for what it waits for is published, too
    return Witnesses(
        merchant=await shop.testify(),
        booked=booked,
        ledger=await read(read_ledger, dsn),
        books=await read(read_books, stack.data_dir, NETWORKS),
        streamed=await read(compare, dsn, stack.data_dir),
        audited=await read(verify_audit, stack.data_dir),
    )


def _summarize(shop: Shop, verdict: Verdict) -> None:
    counts = shop.counts
    _say(f"answers: {_listed(counts.answers)}")
    _say(f"refused: {_listed(counts.refused)}; hung up on {counts.hung_up}")
    if counts.faults:
        _say(f"answered 500: {counts.faults}")
    if verdict.manual:
        _say(f"wait for a person: {' '.join(verdict.manual[:SHOWN_MAX])}")
    for name, reasons in list(verdict.reasons.items())[:SHOWN_MAX]:
        _say(f"{name}: {'; '.join(reasons)}")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "none"


def _say(text: str) -> None:
    sys.stderr.write(f"chaos: {text}\n")
    sys.stderr.flush()
