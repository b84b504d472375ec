"""Keys shared with networks, in processes: shared by workers, exchanged, killed, refused."""

from __future__ import annotations

import signal
from itertools import count
from pathlib import Path

import pytest
import trio

from benchmarks.child import ChildError
from chassis.development_keks import development_keks, network_kek_path, read_development_kek
from chassis.key_block import unwrap_key
from chassis.mac import Cmac, check_value_text
from chassis.mux import MuxClosedError
from hsm_sim.audit import verify
from hsm_sim.wire import (
    ChangeSessionKey,
    GenerateSessionKey,
    HSMReply,
    ImportSessionKey,
    KeyRefused,
    ListNetworkKeys,
    Macs,
    MacsAnswered,
    MacToGenerate,
    MacToVerify,
    MacVerified,
    NetworkKeysListed,
    SessionKeyChanged,
    SessionKeyGenerated,
)
from tests.support.hsm import open_store
from tests.support.hsm_keys import key_import
from tests.support.hsm_process import Client, ask, connected, until, worker


def vsims_key(folder: Path) -> bytes:
    """Make development keys; the simulated network's own copy."""
    development_keks(folder / "networks", ["vsim", "msim"])
    return read_development_kek(network_kek_path(folder / "networks", "vsim"), "vsim").reveal()


async def exchange_keys(path: str, *, key_id: str, key: bytes, kek: bytes) -> None:
    """Bring a session key to a worker and promote it."""
    for request in (
        key_import(key, key_id, kek=kek),
        ChangeSessionKey("vsim", key_id, "confirm"),
        ChangeSessionKey("vsim", key_id, "promote"),
    ):
        (reply,) = await ask(path, request)
        assert isinstance(reply, SessionKeyChanged), reply


async def test_workers_share_session_keys_and_macs(tmp_path: Path) -> None:
    """A key that came to worker 1 makes MACs at worker 0, and its successor overlaps with it."""
    kek = vsims_key(tmp_path)
    with worker(tmp_path) as (_, path0), worker(tmp_path, index=1) as (_, path1):
        await exchange_keys(path1, key_id="01", key=b"1" * 16, kek=kek)
        making = Macs([MacToGenerate("vsim", "01", b"message")])
        first, second = await ask(path0, making), await ask(path1, making)
        assert first == second
        assert isinstance(first[0], MacsAnswered)
        old_mac = first[0].generated[0]
        assert old_mac == Cmac(b"1" * 16).message_mac(b"message")
        await exchange_keys(path0, key_id="02", key=b"2" * 16, kek=kek)
        new_mac = Cmac(b"2" * 16).message_mac(b"message")
        verifying = Macs(
            verify=[MacToVerify("vsim", "", b"message", mac) for mac in (old_mac, new_mac)]
        )
        assert await ask(path1, verifying) == [
            MacsAnswered([], [MacVerified("01", "previous"), MacVerified("02", "current")])
        ]


async def test_a_key_of_ours_reaches_the_simulated_network(tmp_path: Path) -> None:
    """The block opens under the network's own copy of the development key."""
    development_keks(tmp_path / "networks", ["vsim", "msim"])
    with worker(tmp_path) as (_, path):
        (reply,) = await ask(path, GenerateSessionKey("msim", "07"))
    assert isinstance(reply, SessionKeyGenerated)
    theirs = read_development_kek(network_kek_path(tmp_path / "networks", "msim"), "msim")
    _, key = unwrap_key(theirs.reveal(), reply.key_block)
    assert check_value_text(key) == reply.key.check_value


async def change_keys(client: Client, kek: bytes, confirmed: list[int]) -> None:
    """Change keys as fast as a worker can; note what it has confirmed."""
    for number in count(1):
        key, key_id = number.to_bytes(16, "big"), f"{number:04}"
        await client.call(key_import(key, key_id, kek=kek))
        await client.call(ChangeSessionKey("vsim", key_id, "confirm"))
        await client.call(ChangeSessionKey("vsim", key_id, "promote"))
        confirmed.append(number)


async def kill_in_the_midst(folder: Path, kek: bytes, confirmed: list[int]) -> None:
    """Start a worker and kill it while it changes keys."""
    with worker(folder) as (process, path):
        async with connected(path) as client, trio.open_nursery() as nursery:

            async def kill() -> None:
                await until(lambda: len(confirmed) >= 3)
                process.send_signal(signal.SIGKILL)

            nursery.start_soon(kill)
            with pytest.raises(MuxClosedError):
                await change_keys(client, kek, confirmed)


async def test_a_kill_in_the_midst_of_a_key_change_keeps_a_current_key(tmp_path: Path) -> None:
    """Whatever step it died in: what it had answered stands, and one key makes MACs."""
    kek = vsims_key(tmp_path)
    confirmed: list[int] = []
    with pytest.raises(ChildError, match="status -9"):
        await kill_in_the_midst(tmp_path, kek, confirmed)
    with worker(tmp_path) as (_, path):
        (listed,) = await ask(path, ListNetworkKeys())
        assert isinstance(listed, NetworkKeysListed)
        mac_keys = [key for key in listed.keys if key.usage == "mac"]
        (number,) = (int(key.key_id) for key in mac_keys if key.state == "current")
        assert number in (confirmed[-1], confirmed[-1] + 1)
        (reply,) = await ask(path, Macs([MacToGenerate("vsim", f"{number:04}", b"message")]))
        assert isinstance(reply, MacsAnswered)
        assert reply.generated == [Cmac(number.to_bytes(16, "big")).message_mac(b"message")]


async def test_key_changes_under_load_cost_no_mac(tmp_path: Path) -> None:
    """Two workers, one that makes and verifies without a pause, one through which keys change.

    The id that a message is packed with may be one promotion old when its MAC is made.
    """
    kek = vsims_key(tmp_path)
    keys = {f"{number:04}": number.to_bytes(16, "big") for number in range(1, 21)}
    answered: list[tuple[str, HSMReply]] = []
    with worker(tmp_path) as (_, path0), worker(tmp_path, index=1) as (_, path1):
        await exchange_keys(path1, key_id="0001", key=keys["0001"], kek=kek)
        promoted = ["0001"]
        async with connected(path0) as loaded, connected(path1) as changing:

            async def load() -> None:
                while len(promoted) < len(keys):
                    key_id = promoted[-1]
                    mac = Cmac(keys[key_id]).message_mac(b"answer")
                    request = Macs(
                        [MacToGenerate("vsim", key_id, b"message")],
                        [MacToVerify("vsim", named, b"answer", mac) for named in ("", key_id)],
                    )
                    answered.append((key_id, await loaded.call(request)))

            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(load)
                for key_id in list(keys)[1:]:
                    await changing.call(key_import(keys[key_id], key_id, kek=kek))
                    await changing.call(ChangeSessionKey("vsim", key_id, "confirm"))
                    reply = await changing.call(ChangeSessionKey("vsim", key_id, "promote"))
                    assert isinstance(reply, SessionKeyChanged)
                    promoted.append(key_id)
    assert len(answered) >= len(keys)
    for key_id, reply in answered:
        assert isinstance(reply, MacsAnswered)
        assert reply.generated == [Cmac(keys[key_id]).message_mac(b"message")]
        assert [
            verdict.key_id for verdict in reply.verified if isinstance(verdict, MacVerified)
        ] == [key_id] * 2
    store = open_store(tmp_path)
    (audit,) = (record for record in store.records if record.usage == "audit")
    lines = (tmp_path / "hsm" / "audit.log").read_bytes().splitlines()
    assert verify(lines, store.material(audit)) == []
    assert sum(b"session_key_promoted" in line for line in lines) == len(keys)


async def test_a_key_that_is_not_the_networks_is_refused(tmp_path: Path) -> None:
    """Through the socket: another key-exchange key, and a check value that does not fit."""
    kek = vsims_key(tmp_path)
    with worker(tmp_path) as (_, path0):
        await exchange_keys(path0, key_id="01", key=b"1" * 16, kek=kek)
        sound = key_import(b"2" * 16, "02", kek=kek)
        wrong_value = ImportSessionKey("vsim", "02", sound.key_block, "000000")
        replies = await ask(path0, key_import(b"2" * 16, "02", kek=bytes(32)), wrong_value)
        assert replies == [KeyRefused("bad_key_block"), KeyRefused("wrong_check_value")]
        (listed,) = await ask(path0, ListNetworkKeys())
        assert isinstance(listed, NetworkKeysListed)
        ring = [(key.key_id, key.state) for key in listed.keys if key.usage == "mac"]
        assert ring == [("01", "current")]


async def test_live_mode_refuses_a_development_key(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A data directory of test mode does not become a live one."""
    development_keks(tmp_path / "networks", ["vsim"])
    with worker(tmp_path):
        pass
    with pytest.raises(ChildError, match="before it was ready"), worker(tmp_path, mode="live"):
        pass
    assert "network vsim is a development key, which live mode refuses" in capfd.readouterr().err
