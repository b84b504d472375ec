"""Totals compared with each network once a settlement date is over (money.md I6).

A cutover wakes this; so does the start of the process, for what the last one left. After a while in
which doubts of that day are resolved, one 0500 for each currency goes out. What the network counts
differently is an exception for a person; nothing stops for it, and it is not asked again. What it
does not answer is asked again later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Never

import attrs
import trio

from chassis.log import get_logger
from ledger.deciding.records import NewException
from ledger.rows import NetworkTotals
from switch.carriers import Carrier
from switch.core.numbers import NumbersExhaustedError
from switch.core.reconciliation import compare, totals_request
from switch.iso8583.errors import EncodeError
from switch.iso8583.mti import RECONCILIATION_REQUEST
from switch.link.authentication import NoMacKeyError
from switch.pipeline.patience import patiently

AGAIN_S: Final = 300.0  # after a network that did not answer
KIND: Final = "totals_out_of_balance"

log = get_logger(__name__)


@attrs.frozen(kw_only=True)
class Books:
    """What the ledger does for this."""

    days_to_balance: Callable[[str], Awaitable[list[tuple[str, str]]]]
    network_totals: Callable[[str, str, str], Awaitable[NetworkTotals]]
    note_balance: Callable[[str, str, str, bool], Awaitable[None]]
    open_exceptions: Callable[[Sequence[NewException]], Awaitable[None]]


class Totals:
    """One process's comparisons.

    Args:
        carriers: by network.
        books: the ledger's.
        delay_s: from a cutover to the comparison.
        now_us: microseconds since 1970.

    Attributes:
        in_balance_total: comparisons of which both sides had the same.
        out_of_balance_total: others; each has an exception.
        undecided_total: not answered, or in no words that say anything.
    """

    def __init__(
        self,
        carriers: Mapping[str, Carrier],
        books: Books,
        *,
        delay_s: float,
        now_us: Callable[[], int],
    ) -> None:
        self._carriers = carriers
        self._books = books
        self._delay_s = delay_s
        self._now_us = now_us
        self._due_at: dict[str, float] = {}  # by network, monotonic seconds
        self._changed = trio.Event()
        self.in_balance_total = 0
        self.out_of_balance_total = 0
        self.undecided_total = 0

    def day_is_over(self, network: str) -> None:
        """A network has moved on to another date."""
        self._due_at[network] = trio.current_time() + self._delay_s
        self._changed.set()

    async def run(self) -> Never:
        """Compare for as long as the process lives."""
        for network in self._carriers:
            self.day_is_over(network)
        while True:
            self._changed = trio.Event()
            network = min(self._due_at, key=self._due_at.__getitem__, default="")
            if not network:
                await self._changed.wait()
                continue
            with trio.move_on_at(self._due_at[network]):
                await self._changed.wait()
                continue
            if not await self._compare_all(network):
                self._due_at[network] = trio.current_time() + AGAIN_S
            elif self._due_at[network] <= trio.current_time():
                del self._due_at[network]

    async def _compare_all(self, network: str) -> bool:
        """Compare what is due at a network; whether it answered all of it."""
        if RECONCILIATION_REQUEST not in self._carriers[network].dialect.mtis:
            return True
        days = await patiently(lambda: self._books.days_to_balance(network))
        answered = [await self._compare(network, day, currency) for day, currency in days]
        return all(answered)

    async def _compare(self, network: str, day: str, currency: str) -> bool:
        totals = await patiently(lambda: self._books.network_totals(network, currency, day))
        carrier = self._carriers[network]
        try:
            stan, de7 = carrier.stans.next(self._now_us() // 1_000_000)
            sent = totals_request(
                totals,
                settles_on=day,
                currency=currency,
                acquirer_id=carrier.settings.acquirer_id,
                stan=stan,
                de7=de7,
            )
            answer = await carrier.group.ask(sent)
        except (NumbersExhaustedError, NoMacKeyError):
            return False
        except EncodeError as error:  # the dialect has no room for this: no try will fare better
            log.error("totals_not_encodable", network=network, error=str(error))
            return True
        said = compare(sent, answer)
        if said.balance == "undecided":
            self.undecided_total += 1
            log.warning("totals_not_answered", network=network, day=day, currency=currency)
            return False
        in_balance = said.balance == "in_balance"
        if in_balance:
            self.in_balance_total += 1
        else:
            self.out_of_balance_total += 1
            log.error("totals_out_of_balance", network=network, day=day, currency=currency)
            detail: dict[str, str | int] = {"settles_on": day, "currency": currency, **said.detail}
            exception = NewException(KIND, network, detail=detail)
            await patiently(lambda: self._books.open_exceptions([exception]))
        note = self._books.note_balance
        await patiently(lambda: note(network, day, currency, in_balance))
        return True
