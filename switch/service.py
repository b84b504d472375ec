"""The switch process: ledger sessions, lease and recovery, links, HSM workers, the pipeline.

Start: sessions to Postgres, a new epoch of the lease, recovery of what the last process left, STAN
blocks; then links are brought up and the mux opens. Stop: the intake closes, the stages drain in
their order, the links sign off, and whatever was not answered by the network's timer plus a margin
is left to the next start's recovery. If another process has begun a newer epoch of this switch, it
ends at once with exit status 4, and its supervisor starts it anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import trio

from chassis.backoff import jitter
from chassis.clock import SteadyClock, now_us
from chassis.log import get_logger
from chassis.mux import MuxClient, MuxServer, dial_unix
from chassis.service import Service
from chassis.settings import Settings
from hsm_sim.wire import HSMReply, HSMRequest
from ledger.charges import ChargeCommitter
from ledger.completions import CompletionCommitter
from ledger.connection import Connection
from ledger.declines import recent_declines
from ledger.dsn import hot_settings
from ledger.leases import LeaseLostError
from ledger.pool import Pool
from ledger.relay.shedding import PinnedWAL
from ledger.storage import watched_storage
from switch import supplies
from switch.carriers import Carrier
from switch.clean_up import clean_up, ledger_chores
from switch.core.admission import Admission
from switch.core.decline_memory import DeclineMemory
from switch.core.lease import switch_name
from switch.core.numbers import RRNSource
from switch.core.response_codes import load_response_codes
from switch.core.sandbox_cards import SIMULATED
from switch.declines import Declines
from switch.depths import Depths
from switch.draining import drain_limit_s, drain_links, drain_when_asked
from switch.hsm import asker
from switch.lease_keeper import LeaseKeeper
from switch.ledger_side import LedgerSide
from switch.link.events import LinkEvent
from switch.metrics import register, register_lease, register_operations
from switch.operations.assembly import Operations
from switch.operations.surroundings import Surroundings
from switch.pipeline.assembly import Pipeline
from switch.pipeline.outside import Outside
from switch.recovery import Recovery, find_by_rrn
from switch.responsibility import Responsibility
from switch.sessions import open_sessions
from switch.wire import SwitchReply, SwitchRequest

log = get_logger(__name__)
POOL_SIZE = 6  # look-ups, acceptor data, STAN blocks, sweeps, queues: hardly two at once each
EXIT_LEASE_LOST: Final = 4  # as docs/operations.md has it


async def serve(service: Service) -> None:
    """Run the switch until asked to drain, or until another process is this switch."""
    try:
        await _serve(service)
    except* LeaseLostError as lost:
        log.critical("lease_lost", switch=switch_name(service.index))
        service.failed(lost)
        service.exit_code = EXIT_LEASE_LOST


async def _serve(service: Service) -> None:
    settings = service.settings
    dsn = service.secrets["database_dsn"]
    hot = hot_settings(settings.ledger)
    connect = partial(
        Connection.open,
        dsn,
        role_settings=hot,
        connect_timeout_s=settings.ledger.connect_timeout_s,
    )
    pool = Pool(dsn, POOL_SIZE, settings=settings.ledger)
    async with trio.open_nursery() as background:
        await background.start(pool.serve)
        steady_us, ledger = SteadyClock(), LedgerSide(pool, now_us)
        keeper, recovery = await _begin(service, pool, connect, background, steady_us)
        pipeline, operations, outside = await _assemble(
            service, pool, ledger, keeper, background, steady_us
        )
        carriers = outside.carriers
        server = MuxServer(
            request_type=SwitchRequest,
            reply_type=SwitchReply,
            limits=settings.mux,
            on_batch=pipeline.intake.accept,
        )
        register(service.metrics, pipeline, outside, server.counters, now_us=now_us)
        register_lease(service.metrics, keeper)
        register_operations(service.metrics, operations)
        _start_supplies(background, service, pool, ledger, pipeline, operations, carriers)
        recovery.equip(operations.rules, operations.drawing.spare)
        await keeper.settle(keeper.own)  # before links: what they bring is about settled attempts
        keeper.follow(operations)
        for carrier in carriers.values():
            background.start_soon(carrier.group.run)
        storage = watched_storage(service.data_dir, settings.ledger)
        service.checks["storage"] = lambda: not storage.scarce
        background.start_soon(storage.watch, pipeline.admission.heed_storage)
        pinned = PinnedWAL(pool, settings.relay)
        service.checks["stream"] = lambda: not pinned.over
        background.start_soon(pinned.watch, pipeline.admission.heed_stream)
        await background.start(
            partial(
                server.serve,
                service.listeners["mux"],
                allowed_uids={service.allowed_uids["api"]},
            )
        )
        service.ready()
        with trio.CancelScope() as working:
            limit_s = drain_limit_s(settings)
            ends = (keeper.retire, pipeline.close, operations.close)
            background.start_soon(drain_when_asked, service.draining, ends, working, limit_s)
            async with trio.open_nursery() as work:
                work.start_soon(operations.run)
                await pipeline.run(partial(drain_links, carriers))
                operations.finish()
        if working.cancelled_caught:
            log.warning("drain_cut_short", unanswered=pipeline.admission.inside)
        if server.peers:
            await trio.sleep(settings.switch.drain_linger_s)  # the last replies leave
        background.cancel_scope.cancel()


async def _begin(
    service: Service,
    pool: Pool,
    connect: Callable[[], Awaitable[Connection]],
    background: trio.Nursery,
    steady_us: SteadyClock,
) -> tuple[LeaseKeeper, Recovery]:
    """Begin an epoch and keep the lease from now on; nothing is settled yet."""
    heartbeats = Pool(service.secrets["database_dsn"], 1, settings=service.settings.ledger)
    await background.start(heartbeats.serve)
    recovery = Recovery(
        pool,
        batch_max=service.settings.switch.operations_batch_max,
        now_us=now_us,
        steady_us=steady_us,
    )
    keeper = LeaseKeeper(
        switch_name(service.index),
        service.settings,
        heartbeats=heartbeats,
        runner=pool,
        connect=connect,
        recover=recovery.settle,
        now_us=now_us,
    )
    await keeper.begin()
    background.start_soon(keeper.run)
    service.checks["lease"] = keeper.may_send
    return keeper, recovery


async def _assemble(
    service: Service,
    pool: Pool,
    ledger: LedgerSide,
    keeper: LeaseKeeper,
    background: trio.Nursery,
    steady_us: SteadyClock,
) -> tuple[Pipeline, Operations, Outside]:
    """Build the pipeline, what follows it, and everything they speak to."""
    settings, own = service.settings, keeper.own
    workers = [await _start_worker(path, service, background) for path in service.endpoints["hsm"]]

    def on_events(network: str) -> Callable[[list[LinkEvent]], None]:
        return lambda events: pipeline.hearing.on_events(network, events)  # links are run later

    sessions = await open_sessions(
        service,
        pool,
        ask_hsm=asker(workers, settings.hsm.open_deadline_s),
        on_events=on_events,
        lease_holds=keeper.may_send,
        now_us=now_us,
    )
    background.start_soon(sessions.run)
    carriers = sessions.carriers
    await ledger.know_stans(carriers, settings.switch.stan_block_count)
    await supplies.reserve_first(carriers, ledger.take_stans, now_us)
    admission, codes = Admission(settings.switch), load_response_codes()
    rrns = RRNSource(service.index, now_us, own.newest_rrn)
    operations = Operations(
        settings,
        Surroundings(
            own=own,
            committer_of=Responsibility.decision_committer,
            let_go=keeper.let_go,
            workers=workers,
            carriers=carriers,
            admission=admission,
            codes=codes,
            rrns=rrns,
            ledger=ledger.look_ups(),
            now_us=now_us,
            steady_us=steady_us,
            uniform=jitter,
        ),
    )
    declines = await _remember_declines(service, pool, background)
    outside = Outside(
        workers=workers,
        carriers=carriers,
        find_replays=ledger.find_replays,
        load_acceptors=ledger.active_acceptors,
        charges=_charge_committer(own, settings),
        outcomes=own.outcome_committer(lock_timeout_ms=settings.ledger.fast_lock_timeout_ms),
        held_outcomes=own.outcome_committer(),
        completions=CompletionCommitter(own.connect, own.switch, own.epoch, limits=settings.ledger),
        aftermath=operations,
        admission=admission,
        declines=declines,
        find_attempts=partial(find_by_rrn, pool),
        open_exceptions=ledger.open_exceptions,
        codes=codes,
        rrns=rrns,
        take_ids=own.ids.take,
        now_us=now_us,
        steady_us=steady_us,
    )
    pipeline = Pipeline(settings, outside)
    keeper.floors += [pipeline.replies.lowest_attempt, operations.lowest_attempt]
    return pipeline, operations, outside


def _charge_committer(own: Responsibility, settings: Settings) -> ChargeCommitter:
    return ChargeCommitter(
        own.connect,
        own.switch,
        own.epoch,
        limits=settings.ledger,
        charges_per_intent_max=settings.switch.charges_per_intent_max,
    )


async def _remember_declines(
    service: Service, pool: Pool, background: trio.Nursery
) -> DeclineMemory:
    """The memory of declined cards, read from the ledger and followed from now on."""
    settings = service.settings
    exempt = SIMULATED if settings.mode == "test" else frozenset[str]()
    memory = DeclineMemory(settings.switch.declined_cards_max, exempt)
    recent = partial(recent_declines, pool)
    await background.start(Declines(memory, recent, settings.switch, now_us).run)
    return memory


async def _start_worker(
    path: str, service: Service, background: trio.Nursery
) -> MuxClient[HSMRequest, HSMReply]:
    client: MuxClient[HSMRequest, HSMReply] = MuxClient(
        request_type=HSMRequest, reply_type=HSMReply, limits=service.settings.mux, name="hsm"
    )
    background.start_soon(client.run, partial(dial_unix, path))
    return client


def _start_supplies(
    background: trio.Nursery,
    service: Service,
    pool: Pool,
    ledger: LedgerSide,
    pipeline: Pipeline,
    operations: Operations,
    carriers: Mapping[str, Carrier],
) -> None:
    settings = service.settings.switch

    def forget_acceptors() -> None:
        pipeline.lookup.forget_acceptors()
        operations.acceptors.forget()

    background.start_soon(supplies.keep_stans, carriers, ledger.take_stans, settings, now_us)
    background.start_soon(supplies.refresh_acceptors, forget_acceptors)
    background.start_soon(supplies.sweep_expired, partial(ledger.sweep, operations), settings)
    background.start_soon(clean_up, ledger_chores(pool, now_us), settings, now_us)
    depths = Depths(pool, now_us)
    depths.register(service.metrics, carriers)
    background.start_soon(depths.keep_counting)
    ahead = service.settings.ledger.months_ahead
    background.start_soon(
        supplies.keep_partitions, partial(ledger.ensure_months, ahead), ledger.stray_rows
    )
