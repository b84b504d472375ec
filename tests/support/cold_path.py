"""The cold path with every neighbor under the test's control, on a clock that jumps.

Intents are `Book`s, decided on as Postgres would be; networks are `Group`s, whose messages the test
answers, or lets pass their deadline.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio
import trio.testing
from msgspec.structs import replace

from chassis.mux import MuxClosedError
from chassis.settings import Network, Settings, Switch
from hsm_sim.wire import CardsReleased, ReleaseCards, ReleasedCard
from ledger.deciding.committer import BLOCKED
from ledger.deciding.records import (
    IntentView,
    SafRow,
    SealedCardRow,
    VerificationRow,
)
from ledger.ids import UUID7Source
from ledger.leases import LeaseLostError
from ledger.records import Lost, Replay
from ledger.taking_up import Reach
from switch.carriers import Carrier
from switch.core.admission import Admission
from switch.core.messages import Acceptor
from switch.core.numbers import RRNSource, StanAllocator, StanBlock
from switch.core.response_codes import load_response_codes
from switch.iso8583 import load_dialect
from switch.link.correlation import correlation_key
from switch.link.events import Answered, Late, NotSent, Unknown
from switch.operations.assembly import Operations
from switch.operations.surroundings import LookUps, Surroundings
from switch.wire import Operate
from tests.support.operations import MERCHANT, SECOND_US, Book
from tests.support.pipeline import ACCEPTOR, NOW_US, PAN, Group, Peer

DIALECT = load_dialect("net87b")
NETWORKS = {
    "vsim": Network(bins=("4",), acquirer_id="400001"),
    "msim": Network(bins=("5",), acquirer_id="500001", messages="dual"),
}
Fields = dict[int, str]


class Vault:
    """An HSM worker that releases every card, unless the test says otherwise."""

    def __init__(self) -> None:
        self.connected = True
        self.in_flight = 0
        self.purposes: list[str] = []
        self.reply: Callable[[ReleaseCards], Any] = lambda request: CardsReleased(
            [ReleasedCard(PAN, "3012") for _ in request.cards]
        )

    async def call(self, request: ReleaseCards) -> Any:
        """Release a batch."""
        await trio.lowlevel.checkpoint()
        if not self.connected:
            raise MuxClosedError("not connected")
        self.purposes += [request.purpose] * len(request.cards)
        reply = self.reply(request)
        if reply is None:
            await trio.sleep_forever()
        return reply


class Ledger:
    """Every intent, and the queues."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self.books: dict[bytes, Book] = {}
        self.held: set[bytes] = set()  # intents that somebody sits on
        self.at_fault: set[bytes] = set()  # intents that nothing can be decided about
        self.batches: list[tuple[str, int]] = []
        self.error: Exception | None = None  # of look-ups
        self.owner = "switch-0"  # of what is in the queues
        self.lost = False
        self.known: dict[bytes, Replay | Lost] = {}
        self.counted: list[list[bytes]] = []
        self.reaches: list[Reach] = []
        self._now_us = now_us

    def add(self, book: Book) -> Book:
        """Keep an intent."""
        self.books[book.view.intent_id] = book
        return book

    async def run(self, steps: Sequence[Any], *, lane: str) -> list[Any]:
        """Decide a batch, as a DecisionCommitter does."""
        await trio.lowlevel.checkpoint()
        if self.lost:
            raise LeaseLostError("a newer epoch")
        assert len({step.intent_id for step in steps}) == len(steps)
        self.batches.append((lane, len(steps)))
        answers: list[Any] = []
        for step in steps:
            if step.intent_id in self.held and lane == "fast":
                answers.append(BLOCKED)
                continue
            while step.intent_id in self.held:
                await trio.sleep(0.05)
            if step.intent_id in self.at_fault:
                answers.append(Lost("internal_error"))
                continue
            book = self.books[step.intent_id]
            book.now_us = self._now_us()
            answers.append(book.decide(step))
        return answers

    async def _look(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error

    async def find_replays(
        self, batch: Sequence[tuple[bytes, bytes, bytes]]
    ) -> list[Replay | Lost | None]:
        """Keys that the test has used before."""
        await self._look()
        return [self.known.get(digest) for _, digest, _ in batch]

    async def read_views(self, intent_ids: Sequence[bytes]) -> dict[bytes, IntentView]:
        """Look at intents."""
        await self._look()
        return {each: self.books[each].view for each in intent_ids if each in self.books}

    async def sealed_cards(
        self, charges: Sequence[tuple[bytes, bytes]]
    ) -> dict[bytes, SealedCardRow]:
        """The card of every charge there is."""
        await self._look()
        return {
            charge_id: SealedCardRow(charge_id, intent_id, MERCHANT, b"sealed")
            for intent_id, charge_id in charges
            if any(t.transaction_id == charge_id for t in self.books[intent_id].view.transactions)
        }

    async def load_acceptors(self, ids: Sequence[bytes]) -> dict[bytes, Acceptor]:
        """One merchant."""
        await self._look()
        return dict.fromkeys(set(ids) & {MERCHANT}, ACCEPTOR)

    async def due_saf(
        self, owner: str, *, now_us: int, limit: int, networks: Sequence[str]
    ) -> list[SafRow]:
        """Advices that are due, the oldest of each intent."""
        await self._look()
        due = [
            replace(book.view.saf[0], intent_id=intent_id)
            for intent_id, book in self.books.items()
            if owner == self.owner and book.view.saf
        ]
        return [
            row
            for row in sorted(due, key=lambda row: row.due_at_us)
            if row.due_at_us <= now_us
            and not row.manual
            and (row.network in networks or row.resolution)
        ][:limit]

    async def count_saf_sends(
        self, owner: str, _epoch: int, sends: Sequence[tuple[bytes, int]]
    ) -> dict[bytes, int]:
        """Count sendings before they leave."""
        await self._look()
        assert owner == self.owner
        self.counted.append([attempt_id for attempt_id, _ in sends])
        due, counted = dict(sends), {}
        for book in self.books.values():
            rows = []
            for row in book.view.saf:
                if row.attempt_id in due and not row.manual and not row.resolution:
                    counted[row.attempt_id] = row.repeats + 1
                    rows.append(
                        replace(row, repeats=row.repeats + 1, due_at_us=due[row.attempt_id])
                    )
                else:
                    rows.append(row)
            book.view = replace(book.view, saf=rows)
        return counted

    async def due_verifications(
        self, owner: str, *, now_us: int, limit: int, networks: Sequence[str]
    ) -> list[VerificationRow]:
        """Doubts that are due."""
        await self._look()
        due = [
            replace(row, intent_id=intent_id)
            for intent_id, book in self.books.items()
            for row in book.view.verification
            if owner == self.owner
        ]
        return [
            row
            for row in sorted(due, key=lambda row: row.due_at_us)
            if row.due_at_us <= now_us
            and (row.network in networks or row.window_ends_at_us <= now_us)
        ][:limit]

    async def reopen_doubts(self, owner: str, reach: Reach) -> int:
        """None; what was asked for is kept."""
        await self._look()
        if owner == self.owner:
            self.reaches.append(reach)
        return 0

    async def free_advices(self, _owner: str, _reach: Reach) -> int:
        """None."""
        await self._look()
        return 0


@attrs.define
class Lease:
    """What a responsibility is to the cold path."""

    switch: str
    epoch: int
    ids: UUID7Source


@attrs.define
class Wall:
    """The time of day, which somebody may set; waits go by the clock under it."""

    steady_us: Callable[[], int]
    step_us: int = 0

    def __call__(self) -> int:
        """Microseconds since 1970."""
        return self.steady_us() + self.step_us


@attrs.define
class Scene:
    """A running cold path."""

    operations: Operations
    ledger: Ledger
    groups: dict[str, Group]
    carriers: dict[str, Carrier]
    vault: Vault
    admission: Admission
    peer: Peer
    let_go: list[Any]
    now_us: Callable[[], int]
    wall: Wall

    def order(self, book: Book, type_: Any, amount_minor: int = 0, **changes: Any) -> int:
        """Hand an order in as the api does; gives its request id."""
        number = len(self.peer.replies) + len(self.operations.intake.in_flight) + 1
        number += changes.pop("number", 0)
        fields: dict[str, Any] = {
            "intent_id": book.view.intent_id,
            "merchant_id": MERCHANT,
            "live": False,
            "type": type_,
            "amount_minor": amount_minor,
            "final_capture": True,
            "key_digest": b"K" * 8 + number.to_bytes(8),
            "request_hash": bytes(16),
            "request_id": b"q" * 16,
        }
        self.operations.order(self.peer, number, Operate(**fields | changes))  # type: ignore[arg-type]
        return number

    async def settle_down(self) -> None:
        """Let every task do what it can without time passing."""
        await trio.testing.wait_all_tasks_blocked(0.0)

    def messages(self, network: str = "msim") -> list[Fields]:
        """What was sent on a network and not yet taken."""
        return [DIALECT.decode(frame) for _, frame, _ in self.groups[network].sent]

    def take(self, network: str = "msim") -> tuple[Fields, Any]:
        """The next message sent on a network, and its token; its slot is free from here on."""
        group = self.groups[network]
        _, frame, token = group.sent.pop(0)
        group.settle(token)
        return DIALECT.decode(frame), token

    async def answer(self, code: str = "00", *, network: str = "msim", **changes: str) -> Fields:
        """Answer the next message sent on a network, with changes by `de_N`."""
        sent, token = self.take(network)
        fields = answer_to(sent, code, **changes)
        self.operations.on_event(Answered(token, fields, 0))
        await self.settle_down()
        return sent

    async def late(self, token: Any, sent: Fields, code: str = "00", **changes: str) -> None:
        """Answer a message that was given up."""
        fields = answer_to(sent, code, **changes)
        self.operations.on_event(Late(token, correlation_key(fields), fields, 0))
        await self.settle_down()

    async def silence(self, *, network: str = "msim") -> tuple[Fields, Any]:
        """Let the next message pass its deadline."""
        sent, token = self.take(network)
        self.operations.on_event(Unknown(token, "timeout"))
        await self.settle_down()
        return sent, token

    async def not_sent(self, reason: str = "too_old", *, network: str = "msim") -> None:
        """Say of the next message that no byte of it left."""
        _, token = self.take(network)
        self.operations.on_event(NotSent(token, reason))
        await self.settle_down()

    def status(self, number: int) -> str:
        """What the api was told of an order's transaction."""
        status: str = self.peer.replies[number].transaction.status
        return status


def answer_to(sent: Fields, code: str, **changes: str) -> Fields:
    """An exact echo with a code, and changes by `de_N`."""
    echoed = (3, 4, 7, 11, 32, 37, 41, 42, 49, 90)
    fields = {de: sent[de] for de in echoed if de in sent}
    function = "1" if sent[0][2] == "0" else "3"
    fields |= {0: f"{sent[0][:2]}{function}0", 39: code}
    return fields | {int(name[3:]): value for name, value in changes.items()}


def run_jumping(main: Callable[[], Any], *, clock: Any, instruments: Any) -> Any:
    """`trio.run` on a clock that jumps, for pytest-trio."""
    del clock
    return trio.run(
        main, clock=trio.testing.MockClock(autojump_threshold=0), instruments=instruments
    )


def make_scene(now_us: Callable[[], int], **network: Any) -> Scene:
    """Two networks with links up, one HSM worker, an empty ledger."""
    networks = {name: replace(each, **network) for name, each in NETWORKS.items()}
    settings = Settings(networks=networks, switch=Switch(queue_poll_s=0.25))
    groups = {name: Group(slots=32) for name in networks}
    carriers = {}
    for name, each in networks.items():
        stans = StanAllocator()
        seconds = now_us() // SECOND_US
        stans.add(StanBlock(first=1, count=9_000, floor_s=seconds, ceiling_s=seconds + 10**6))
        carriers[name] = Carrier(each, DIALECT, groups[name], stans)  # type: ignore[arg-type]
    ledger, vault, admission = Ledger(now_us), Vault(), Admission(settings.switch)
    let_go: list[Any] = []
    wall = Wall(now_us)
    operations = Operations(
        settings,
        Surroundings(
            own=Lease("switch-0", 1, UUID7Source(now_us, bytes)),  # type: ignore[arg-type]
            committer_of=lambda _: ledger,
            let_go=let_go.append,
            workers=[vault],  # type: ignore[list-item]
            carriers=carriers,
            admission=admission,
            codes=load_response_codes(),
            rrns=RRNSource(0, now_us),
            ledger=LookUps(
                find_replays=ledger.find_replays,
                sealed_cards=ledger.sealed_cards,
                read_views=ledger.read_views,
                load_acceptors=ledger.load_acceptors,
                due_saf=ledger.due_saf,
                count_saf_sends=ledger.count_saf_sends,
                due_verifications=ledger.due_verifications,
                reopen_doubts=ledger.reopen_doubts,
                free_advices=ledger.free_advices,
            ),
            now_us=wall,
            steady_us=now_us,
            uniform=lambda low, high: high,  # noqa: ARG005  the longest wait there is
        ),
    )
    peer = Peer()
    return Scene(operations, ledger, groups, carriers, vault, admission, peer, let_go, now_us, wall)


@asynccontextmanager
async def running(*, ledger_error: Exception | None = None, **network: Any) -> AsyncIterator[Scene]:
    """A cold path that runs, with its ledger away at first or not; it ends with the block."""
    began = trio.current_time()

    def now_us() -> int:
        return NOW_US + int((trio.current_time() - began) * SECOND_US)

    scene = make_scene(now_us, **network)
    scene.ledger.error = ledger_error
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.operations.run)
        await scene.settle_down()
        yield scene
        nursery.cancel_scope.cancel()
