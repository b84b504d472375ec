"""What the switch asks the ledger beside its commits, each time in a session of one pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ledger.deciding.views import read_views, sealed_cards
from ledger.exceptions import open_exceptions
from ledger.expiry import sweep_expired
from ledger.merchants import get_merchants
from ledger.numbers import prepare_stans, take_stans
from ledger.partitions import ensure_partitions, stray_rows
from ledger.replays import find_replays
from ledger.saf import count_saf_sends, due_saf
from ledger.statements import Runner
from ledger.taking_up import free_advices, reopen_doubts
from ledger.verifications import due_verifications
from switch.carriers import Carrier
from switch.core.messages import Acceptor
from switch.core.numbers import StanBlock
from switch.operations.assembly import Operations
from switch.operations.surroundings import LookUps


class LedgerSide:
    """The ledger, as pipeline, operations and timers ask it.

    Args:
        runner: the pool.
        now_us: microseconds since 1970.
    """

    def __init__(self, runner: Runner, now_us: Callable[[], int]) -> None:
        self._runner = runner
        self._now_us = now_us
        self.find_replays = partial(find_replays, runner)
        self.open_exceptions = partial(open_exceptions, runner)
        self.stray_rows = partial(stray_rows, runner)

    def look_ups(self) -> LookUps:
        """What operations ask."""
        runner = self._runner
        return LookUps(
            find_replays=self.find_replays,
            sealed_cards=partial(sealed_cards, runner),
            read_views=partial(read_views, runner),
            load_acceptors=self.all_acceptors,
            due_saf=partial(due_saf, runner),
            count_saf_sends=partial(count_saf_sends, runner),
            due_verifications=partial(due_verifications, runner),
            reopen_doubts=partial(reopen_doubts, runner),
            free_advices=partial(free_advices, runner),
        )

    async def know_stans(self, carriers: Mapping[str, Carrier], block_count: int) -> None:
        """Have a row of STANs for every network, before blocks are taken."""
        for name, carrier in carriers.items():
            acquirer_id = carrier.settings.acquirer_id
            await prepare_stans(self._runner, name, acquirer_id, block_count=block_count)

    async def take_stans(self, network: str, acquirer_id: str, from_s: int) -> StanBlock:
        """The next block of a network, to be used from a second on."""
        taken = await take_stans(self._runner, network, acquirer_id, now_s=from_s)
        return StanBlock(
            first=taken.first,
            count=taken.count,
            floor_s=taken.floor_s,
            ceiling_s=taken.ceiling_s,
        )

    async def ensure_months(self, months_ahead: int) -> int:
        """Make the months to come of the payment tables."""
        now_us = self._now_us()
        return await ensure_partitions(self._runner, now_us=now_us, months_ahead=months_ahead)

    async def sweep(self, operations: Operations, limit: int) -> int:
        """End intents whose time is over, with a cancel at their network where one holds money."""
        # Over by both clocks: one that was set forward by mistake must not cancel what stands.
        over_us = min(self._now_us(), operations.steady_us())
        swept = await sweep_expired(self._runner, now_us=over_us, limit=limit)
        if swept.lapsed:
            await operations.expire(swept.lapsed)
        return swept.finished + swept.put_off

    async def active_acceptors(self, ids: Sequence[bytes]) -> dict[bytes, Acceptor]:
        """Those who may charge."""
        merchants = await get_merchants(self._runner, ids)
        return {
            merchant_id: Acceptor.of(merchant)
            for merchant_id, merchant in merchants.items()
            if merchant.status == "active"
        }

    async def all_acceptors(self, ids: Sequence[bytes]) -> dict[bytes, Acceptor]:
        """Those of closed merchants too: what has been charged must be finished."""
        merchants = await get_merchants(self._runner, ids)
        return {merchant_id: Acceptor.of(merchant) for merchant_id, merchant in merchants.items()}
