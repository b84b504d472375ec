"""The socket and its queue: many peers, bounded waiting, a clean end."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from chassis.durable import locked
from chassis.mux import MuxClient, MuxClosedError, MuxError, dial_unix
from chassis.settings.tree import HSM, MuxLimits
from hsm_sim.commands import Commands
from hsm_sim.lmk import KeystoreError
from hsm_sim.network_keystore import NetworkKeystore
from hsm_sim.policy import Policy
from hsm_sim.server import HSMServer
from hsm_sim.vault import build_vault
from hsm_sim.wire import (
    CardsOpened,
    CardsReleased,
    HSMReply,
    HSMRequest,
    KeysListed,
    ListKeys,
    OpenCards,
    OpenedCard,
    Refused,
    ReleaseCards,
    ReleasedCard,
    SealSecrets,
    SecretsSealed,
)
from tests.support.hsm import NOW_S, open_store, sealed_card
from tests.support.hsm_release import stored_card

LIMITS = MuxLimits()
ME = os.getuid()
Client = MuxClient[HSMRequest, HSMReply]


class Bench:
    """One worker on a Unix socket of its own."""

    def __init__(
        self,
        folder: Path,
        allowed_uids: dict[str, int],
        settings: HSM,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        policy = Policy(allowed_uids)
        store = open_store(folder)
        self.commands = Commands(
            store=store,
            network_keys=NetworkKeystore(store),
            policy=policy,
            settings=settings,
            random=random,
            now_s=NOW_S,
        )
        self.server = HSMServer(
            commands=self.commands,
            policy=policy,
            settings=settings,
            limits=LIMITS,
            clock=lambda: float(NOW_S),
        )
        self.path = str(folder / "hsm.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A connected client."""
        client: Client = MuxClient(
            request_type=HSMRequest, reply_type=HSMReply, limits=LIMITS, name="hsm"
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(client.run, partial(dial_unix, self.path))
            yield client
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    allowed_uids: dict[str, int] | None = None,
    settings: HSM | None = None,
    working: bool = True,
    random: Callable[[int], bytes] = os.urandom,
) -> AsyncIterator[Bench]:
    """A served worker; with `working=False` nobody takes from its queue."""
    roles = {"switch": ME, "api": ME, "admin": ME} if allowed_uids is None else allowed_uids
    bench = Bench(folder, roles, settings or HSM(), random)
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.server.serve, bench.listener)
        if working:
            nursery.start_soon(bench.server.work)
            nursery.start_soon(bench.server.work_on_releases)
        yield bench
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other tasks bring about."""
    with trio.fail_after(5):
        while not condition():
            await trio.sleep(0.001)


async def test_cards_travel_through_the_socket(tmp_path: Path) -> None:
    """Keys are listed, cards sealed to them open, secrets are sealed: one client, all roles."""
    async with serving(tmp_path) as bench, bench.client() as client:
        listed = await client.call(ListKeys())
        assert isinstance(listed, KeysListed)
        reply = await client.call(OpenCards([sealed_card(listed.keys)]))
        assert isinstance(reply, CardsOpened)
        assert isinstance(reply.cards[0], OpenedCard)
        assert reply.cards[0].pan == "4242424242424242"
        assert isinstance(await client.call(SealSecrets([b"sk"], [b"m"])), SecretsSealed)


async def test_a_role_counts_on_the_socket_too(tmp_path: Path) -> None:
    """Connected as the api's user, opening a card is refused."""
    roles = {"api": ME, "switch": ME + 1}
    async with serving(tmp_path, allowed_uids=roles) as bench, bench.client() as client:
        assert isinstance(await client.call(ListKeys()), KeysListed)
        assert await client.call(OpenCards([])) == Refused("not_permitted")


async def test_a_user_without_a_role_is_not_let_in(tmp_path: Path) -> None:
    """The connection of a stranger is closed before it is read."""
    async with serving(tmp_path, allowed_uids={"switch": ME + 1}) as bench:
        async with bench.client() as client:
            with pytest.raises(MuxClosedError):
                await client.call(ListKeys())
        assert bench.server.mux.counters.refused_total >= 1
        assert bench.commands.counters.refusals["not_permitted"] == 0


async def test_what_does_not_fit_the_queue_is_refused_at_once(tmp_path: Path) -> None:
    """With the worker stalled the queue takes its share of one peer and refuses the rest."""
    settings = HSM(queue_requests_max=8)
    async with serving(tmp_path, settings=settings, working=False) as bench:
        async with bench.client() as client:
            replies: list[HSMReply | MuxError] = []
            for _ in range(10):
                client.submit(ListKeys(), replies.append)
            await until(lambda: len(replies) == 6)
            assert replies == [Refused("unavailable")] * 6
            assert len(bench.server.inbox) == 4
        assert bench.commands.counters.refusals["unavailable"] == 6


async def test_one_flooding_peer_leaves_room_for_another(tmp_path: Path) -> None:
    """Half of the queue stays free for the others, however much one peer asks."""
    settings = HSM(queue_requests_max=8)
    async with (
        serving(tmp_path, settings=settings, working=False) as bench,
        bench.client() as flooding,
        bench.client() as polite,
    ):
        refused: list[HSMReply | MuxError] = []
        for _ in range(40):
            flooding.submit(ListKeys(), refused.append)
        await until(lambda: len(refused) == 36)
        answered: list[HSMReply | MuxError] = []
        for _ in range(4):
            polite.submit(ListKeys(), answered.append)
        await until(lambda: len(bench.server.inbox) == 8)
        assert answered == []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.server.work)
            await until(lambda: len(answered) == 4)
            nursery.cancel_scope.cancel()
        assert all(isinstance(reply, KeysListed) for reply in answered)


async def test_no_card_is_opened_for_a_peer_that_left(tmp_path: Path) -> None:
    """Requests of a dead connection are dropped from the queue without work."""
    async with serving(tmp_path, working=False) as bench:
        async with bench.client() as client:
            client.submit(OpenCards([]), lambda _: None)
            await until(lambda: len(bench.server.inbox) == 1)
        with trio.fail_after(5):
            await bench.server.gone()
        bench.server.drain()
        await bench.server.work()
        assert bench.commands.counters.batch_seconds.cumulative()[-1][1] == 0
        assert bench.server.mux.counters.dropped_total == 1


async def test_draining_answers_what_waits_and_refuses_what_comes(tmp_path: Path) -> None:
    """Accepted requests are answered; later ones hear `unavailable`; then work returns."""
    async with serving(tmp_path, working=False) as bench, bench.client() as client:
        accepted: list[HSMReply | MuxError] = []
        client.submit(ListKeys(), accepted.append)
        await until(lambda: len(bench.server.inbox) == 1)
        bench.server.drain()
        assert await client.call(ListKeys()) == Refused("unavailable")
        with trio.fail_after(5):
            await bench.server.work()
        await until(lambda: bool(accepted))
        assert isinstance(accepted[0], KeysListed)


async def test_a_broken_store_ends_the_worker(tmp_path: Path) -> None:
    """The process is to end, not to go on with keys that nobody can restore."""
    bench = Bench(tmp_path, {"api": ME}, HSM())
    async with trio.open_nursery() as outer:
        await outer.start(bench.server.serve, bench.listener)
        async with bench.client() as client:
            (tmp_path / "hsm" / "keys.json").write_bytes(b"")
            client.submit(ListKeys(), lambda _: None)
            with pytest.raises(KeystoreError, match=r"keys\.json"), trio.fail_after(5):
                await bench.server.work()
        outer.cancel_scope.cancel()


async def test_a_fault_of_ours_costs_one_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A request that raises is refused, counted and logged by type; the next one is answered."""

    def broken(_count: int) -> bytes:
        raise RuntimeError("4242424242424242")

    async with serving(tmp_path, random=broken) as bench, bench.client() as client:
        assert await client.call(OpenCards([])) == Refused("unavailable")
        assert isinstance(await client.call(ListKeys()), KeysListed)
        assert bench.commands.counters.faults_total == 1
    printed = "".join(capsys.readouterr())
    assert "hsm_fault" in printed
    assert "RuntimeError" in printed
    assert "4242" not in printed


async def test_nothing_is_sealed_without_its_audit_line(tmp_path: Path) -> None:
    """Where the log cannot be continued, the action is refused and other work goes on."""
    async with serving(tmp_path) as bench, bench.client() as client:
        log = tmp_path / "hsm" / "audit.log"
        log.write_bytes(log.read_bytes().replace(b"audit-1", b"audit-2"))
        assert await client.call(SealSecrets([b"sk"], [b"m"])) == Refused("unavailable")
        assert isinstance(await client.call(ListKeys()), KeysListed)
        assert bench.commands.counters.secrets_sealed_total == 0


def _request_of(folder: Path, *, cards: int = 1) -> ReleaseCards:
    """A request for stored cards of the store that a bench has made."""
    vault = build_vault(open_store(folder), now_s=NOW_S)
    return ReleaseCards("capture", [stored_card(vault)] * cards)


async def test_cards_are_opened_while_an_audit_line_is_written(tmp_path: Path) -> None:
    """A slow disk delays those who want stored cards, nobody else, and they share its next write.

    The lock of the log, held here, makes it slow.
    """
    async with serving(tmp_path) as bench, bench.client() as client:
        request = _request_of(tmp_path, cards=2)
        released: list[HSMReply | MuxError] = []
        with locked(tmp_path / "hsm" / "audit.lock"):
            client.submit(request, released.append)
            await until(lambda: bench.server.releases.peak == 1 and not bench.server.releases)
            for _ in range(5):
                client.submit(request, released.append)
            await until(lambda: len(bench.server.releases) == 5)
            assert isinstance(await client.call(ListKeys()), KeysListed)
            assert released == []
        await until(lambda: len(released) == 6)
        assert released == [CardsReleased([ReleasedCard("4242424242424242", "3012")] * 2)] * 6
        assert bench.commands.counters.cards_released["capture"] == 12
    lines = (tmp_path / "hsm" / "audit.log").read_bytes().splitlines()
    assert sum(b"cards_released" in line for line in lines) == 6


async def test_nothing_is_released_without_its_audit_line(tmp_path: Path) -> None:
    """Where the log cannot be continued no stored card leaves, and new cards are opened."""
    async with serving(tmp_path) as bench, bench.client() as client:
        request = _request_of(tmp_path)
        log = tmp_path / "hsm" / "audit.log"
        log.write_bytes(log.read_bytes().replace(b"audit-1", b"audit-2"))
        assert await client.call(request) == Refused("unavailable")
        assert bench.commands.counters.cards_released["capture"] == 0
        listed = await client.call(ListKeys())
        assert isinstance(listed, KeysListed)
        assert isinstance(await client.call(OpenCards([sealed_card(listed.keys)])), CardsOpened)


async def test_releases_share_the_bound_of_the_queue(tmp_path: Path) -> None:
    """A peer holds half of the places in all, whatever it asks for."""
    settings = HSM(queue_requests_max=8)
    async with serving(tmp_path, settings=settings, working=False) as bench:
        async with bench.client() as client:
            replies: list[HSMReply | MuxError] = []
            for number in range(10):
                request = ReleaseCards("capture", []) if number % 2 else ListKeys()
                client.submit(request, replies.append)
            await until(lambda: len(replies) == 6)
            assert (len(bench.server.inbox), len(bench.server.releases)) == (2, 2)
        with trio.fail_after(5):
            await bench.server.gone()
        bench.server.drain()
        await bench.server.work_on_releases()
        assert bench.server.mux.counters.dropped_total == 2


async def test_a_broken_store_ends_the_releases_too(tmp_path: Path) -> None:
    """The process is to end, as for any other request."""
    bench = Bench(tmp_path, {"switch": ME}, HSM())
    async with trio.open_nursery() as outer:
        await outer.start(bench.server.serve, bench.listener)
        async with bench.client() as client:
            (tmp_path / "hsm" / "keys.json").write_bytes(b"")
            client.submit(ReleaseCards("capture", []), lambda _: None)
            with pytest.raises(KeystoreError, match=r"keys\.json"), trio.fail_after(5):
                await bench.server.work_on_releases()
        outer.cancel_scope.cancel()
