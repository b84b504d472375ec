"""The HSM as a process: launched, asked over its socket, killed, rotated, drained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import trio

from benchmarks.child import ChildError
from benchmarks.hsm import run
from chassis.mux import MuxClosedError
from chassis.settings.tree import HSM
from hsm_sim.wire import (
    CardsOpened,
    CardToOpen,
    HSMReply,
    KeysListed,
    ListKeys,
    OpenCards,
    OpenedCard,
    Refused,
    SealSecrets,
    SecretsSealed,
    SecretsUnsealed,
    UnsealSecrets,
)
from tests.support.hsm import sealed_card
from tests.support.hsm_process import ME, ask, connected, until, worker

ROOT = Path(__file__).parents[2]


async def test_a_worker_opens_cards_seals_secrets_and_drains(tmp_path: Path) -> None:
    """The whole conversation with one process, up to its orderly end with status 0."""
    with worker(tmp_path) as (process, path):
        (listed,) = await ask(path, ListKeys())
        assert isinstance(listed, KeysListed)
        cards = [sealed_card(listed.keys, suite=suite) for suite in (1, 2)]
        opened, sealed = await ask(path, OpenCards(cards), SealSecrets([b"sk_test_a"], [b"mer"]))
        assert isinstance(opened, CardsOpened)
        assert [card.pan for card in opened.cards if isinstance(card, OpenedCard)] == [
            "4242424242424242"
        ] * 2
        assert isinstance(sealed, SecretsSealed)
        (unsealed,) = await ask(path, UnsealSecrets(sealed.blobs, [b"mer"]))
        assert unsealed == SecretsUnsealed([b"sk_test_a"])
    assert process.returncode == 0


async def kill_under_load(folder: Path, cards: list[CardToOpen]) -> None:
    """Seal a card to a worker's key, keep the worker busy with it, and kill it."""
    with worker(folder) as (process, path):
        (listed,) = await ask(path, ListKeys())
        assert isinstance(listed, KeysListed)
        cards.append(sealed_card(listed.keys))
        async with connected(path) as client:
            endings: list[HSMReply | Exception] = []
            for _ in range(20):
                client.submit(OpenCards(cards * 32), endings.append)
            process.send_signal(signal.SIGKILL)
            await until(lambda: len(endings) == 20)
            assert any(isinstance(ending, MuxClosedError) for ending in endings)


async def test_keys_survive_a_kill(tmp_path: Path) -> None:
    """Killed (-9) under load and started again, the HSM opens the cards sealed before."""
    cards: list[CardToOpen] = []
    with pytest.raises(ChildError, match="status -9"):
        await kill_under_load(tmp_path, cards)
    with worker(tmp_path) as (_, path):
        (reply,) = await ask(path, OpenCards(cards))
        assert isinstance(reply, CardsOpened)
        assert isinstance(reply.cards[0], OpenedCard)


async def test_two_workers_share_rotating_keys(tmp_path: Path) -> None:
    """Worker 0 rotates by the clock; worker 1 opens what is sealed to the new keys."""
    fast = HSM(
        capture_key_active_s=2,
        capture_key_decrypt_only_s=60,
        capture_key_overlap_s=1,
        rotation_check_s=0.05,
    )
    with (
        worker(tmp_path, hsm=fast) as (_, path0),
        worker(tmp_path, index=1, hsm=fast) as (_, path1),
    ):
        first, second = await ask(path0, ListKeys()), await ask(path1, ListKeys())
        assert first == second
        old = first[0]
        assert isinstance(old, KeysListed)
        old_card = sealed_card(old.keys)
        with trio.fail_after(10):
            while True:
                (listed,) = await ask(path1, ListKeys())
                assert isinstance(listed, KeysListed)
                if listed.keys[0].kid != old.keys[0].kid:
                    break
                await trio.sleep(0.1)
        for path in (path0, path1):
            (reply,) = await ask(path, OpenCards([old_card, sealed_card(listed.keys)]))
            assert isinstance(reply, CardsOpened)
            assert [isinstance(card, OpenedCard) for card in reply.cards] == [True, True]


async def test_roles_hold_between_processes(tmp_path: Path) -> None:
    """A user with one role is refused the work of the others; one without any is not let in."""
    with worker(tmp_path, allowed_uids={"api": ME, "switch": ME + 1}) as (_, path):
        listed, refused = await ask(path, ListKeys(), OpenCards([]))
        assert isinstance(listed, KeysListed)
        assert refused == Refused("not_permitted")
    with worker(tmp_path, allowed_uids={"switch": ME + 1}) as (_, path):
        async with connected(path) as client:
            with pytest.raises(MuxClosedError):
                await client.call(ListKeys())


ASK_AS = """
import os, socket, sys
os.setresgid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2]))
os.setresuid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2]))
with socket.socket(socket.AF_UNIX) as peer:
    peer.connect(sys.argv[1])
    try:
        peer.sendall(bytes.fromhex(sys.argv[3]))
        print(len(peer.recv(65536)))
    except (BrokenPipeError, ConnectionResetError):
        print(0)
for name in ("lmk", "keys.json"):
    try:
        open(os.path.join(os.path.dirname(sys.argv[1]), "hsm", name)).close()
        print("read", name)
    except PermissionError:
        pass
"""


@pytest.mark.privileged
@pytest.mark.parametrize(("uid", "is_answered"), [(52_801, True), (52_802, False)])
def test_other_users_reach_neither_socket_nor_keys(
    open_tmp_path: Path, uid: int, *, is_answered: bool
) -> None:
    """By the kernel's word: the switch's user is answered, a stranger is not, neither sees keys."""
    message = msgspec.msgpack.encode([[1, ListKeys()]])
    frame = len(message).to_bytes(4, "big") + message
    with worker(open_tmp_path, allowed_uids={"switch": 52_801}) as (_, path):
        Path(path).chmod(0o666)
        asked = subprocess.run(
            [sys.executable, "-I", "-S", "-c", ASK_AS, path, str(uid), frame.hex()],
            check=True,
            capture_output=True,
            text=True,
        )
    received, *read = asked.stdout.splitlines()
    assert (int(received) > 0) is is_answered
    assert read == []


def test_live_mode_without_a_ceremony_does_not_start(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The process ends before it is ready and says what is missing."""
    with pytest.raises(ChildError, match="before it was ready"), worker(tmp_path, mode="live"):
        pass
    assert "live mode needs the ceremony of docs/hsm.md" in capfd.readouterr().err


def test_two_first_starts_at_once_make_one_store(tmp_path: Path) -> None:
    """Processes that race for the first start agree on one set of keys."""
    code = (
        "import pathlib, sys; from tests.support.hsm import open_store;"
        "print(*sorted(r.id for r in open_store(pathlib.Path(sys.argv[1])).records))"
    )
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'clients' / 'python'}"}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
        )
        for _ in range(4)
    ]
    printed = {racer.communicate(timeout=20)[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0] * 4
    assert len(printed) == 1
    assert len(printed.pop().split()) == 6


def test_the_benchmark_measures_and_checks() -> None:
    """A short run gives every figure the contract names, of the right order of magnitude."""
    document = run(seconds=0.2, rounds=1)
    results = document["results"]
    assert results["opens_per_s_per_core"] > 1_000
    assert results["macs_per_s_per_core"] > results["releases_per_s_per_core"] > 1_000
    assert document["cpu_us_per_op"]["hsm"] > 10
    assert document["parameters"]["batch"] == 32
