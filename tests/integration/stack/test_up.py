"""The whole stack as `turnout up` runs it, with everything in it killed once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import msgspec
import pytest
import trio

from chassis.supervisor import process_is_alive
from ledger.roles import ROLES
from stack.database import PASSWORDS_FILE
from stack.endpoints import Endpoints
from stack.temporary import TemporaryStack, stack_in
from tests.support.postgres import LedgerDSN, PostgresServer, password_of

BACK_WITHIN_S = 60.0
# A shell that lets everything it starts dump core, as some machines are set up to do.
DUMPING = ("sh", "-c", 'ulimit -S -c unlimited && exec "$@"', "sh")
# The stream is for the relay's group, which its consumers are in; the others are for everyone.
STREAM = {f"stream/0/{name}" for name in ("high-water", "spare", f"{0:020}.seg")}
CERTIFICATES = {f"pki/{stem}.pem" for stem in ("ca", "vsim", "msim", "switch-vsim", "switch-msim")}
READABLE = {"run/endpoints.json", "audit/log.pub"} | CERTIFICATES | STREAM
CONSUMERS = {"relay", "audit", "witness", "postings", "webhooks"}
PROCESSES = {"postgres", "hsm-0", "vsim", "msim", "switch-0", "api"} | CONSUMERS


def _turnout_up(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "turnout", "up", "--free-ports"]
    command += ["--data-dir", str(data_dir), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False
    )


def _readable(data_dir: Path) -> set[str]:
    """Files that more users than their owner could read."""
    return {
        str(path.relative_to(data_dir))
        for path in data_dir.rglob("*")
        if path.is_file() and path.stat().st_mode & 0o044
    }


def _core_limits(process_id: int) -> tuple[str, ...]:
    """Soft and hard limit on the size of core files."""
    (line,) = (
        line
        for line in Path(f"/proc/{process_id}/limits").read_text().splitlines()
        if line.startswith("Max core file size")
    )
    return tuple(line.split()[4:6])


def _is_ready(metrics_url: str) -> bool:
    try:
        with urllib.request.urlopen(metrics_url.replace("/metrics", "/readyz"), timeout=5):
            return True
    except OSError:  # refused, reset, not ready yet, or accepted by nobody so far
        return False


async def _until_all_ready(endpoints: Endpoints) -> None:
    with trio.fail_after(BACK_WITHIN_S):
        for url in endpoints.metrics.values():
            while not await trio.to_thread.run_sync(_is_ready, url):
                await trio.sleep(0.05)


async def _until_replaced(stack: TemporaryStack, before: dict[str, int]) -> None:
    """Wait until every process has another process id than before."""
    with trio.fail_after(BACK_WITHIN_S):
        while any(stack.refresh().processes[key] == before[key] for key in before):
            await trio.sleep(0.05)


async def test_a_stack_survives_the_death_of_everything_in_it(open_tmp_path: Path) -> None:
    """Processes and Postgres come back after kill -9; after the supervisor's, the next start does.

    The data directory is deeper than a Unix socket's path may be long.
    """
    folder = open_tmp_path / ("deep" * 38)
    folder.mkdir(mode=0o711)
    async with stack_in(folder) as first:
        assert len(str(first.data_dir)) > 150
        before = dict(first.endpoints.processes)
        assert before.keys() == PROCESSES
        await _until_all_ready(first.endpoints)
        second = await trio.to_thread.run_sync(_turnout_up, first.data_dir)
        assert (second.returncode, second.stdout) == (3, "")
        assert f"another stack (process {first.process_id}) runs on" in second.stderr
        for process_id in before.values():
            os.kill(process_id, signal.SIGKILL)
        await _until_replaced(first, before)
        await _until_all_ready(first.endpoints)
        orphans, credentials = dict(first.endpoints.processes), first.credentials()
        os.kill(first.process_id, signal.SIGKILL)
    assert first.exit_code == -signal.SIGKILL
    async with stack_in(folder, under=DUMPING) as third:
        assert not any(map(process_is_alive, orphans.values()))
        assert third.credentials().secret_key == credentials.secret_key
        assert _readable(third.data_dir) == READABLE
        everything = [third.process_id, *third.endpoints.processes.values()]
        assert [_core_limits(process_id) for process_id in everything] == [("0", "0")] * (
            1 + len(PROCESSES)
        )
        runtime_dir = Path(third.endpoints.sockets["switch"][0]).parent
        processes = third.endpoints.processes
    assert third.exit_code == 0
    assert not any(map(process_is_alive, processes.values()))
    assert not runtime_dir.exists()


async def test_a_ledger_elsewhere_is_used(
    open_tmp_path: Path, postgres: PostgresServer, fresh_ledger_dsn: LedgerDSN
) -> None:
    """With `ledger.url` no Postgres of ours runs, and nobody but us sees that URL."""
    data_dir = open_tmp_path / "data"
    data_dir.mkdir()
    # Roles belong to the whole server, which other tests use: keep their passwords.
    passwords = {role: password_of(role) for role in ROLES}
    (data_dir / PASSWORDS_FILE).write_bytes(msgspec.json.encode(passwords))
    async with stack_in(open_tmp_path, {"ledger.url": fresh_ledger_dsn.superuser}) as stack:
        assert stack.endpoints.processes.keys() == PROCESSES - {"postgres"}
        assert stack.endpoints.sockets["postgres"] == []
        await _until_all_ready(stack.endpoints)
    assert stack.exit_code == 0
    await postgres.drop_slots()
    assert not (data_dir / "postgres").exists()
    assert not (data_dir / "run" / "endpoints.json").exists()
    assert f"turnout is ready: API {stack.endpoints.api.url}" in stack.log_file.read_text()


def test_a_taken_port_keeps_the_stack_from_starting(open_tmp_path: Path) -> None:
    """The port and the setting that moves it are named, and nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        result = _turnout_up(open_tmp_path / "data", "--vsim-port", str(port))
    assert (result.returncode, result.stdout) == (3, "")
    assert (
        f"turnout up: 127.0.0.1 port {port}, for network vsim, is taken; "
        "stop what uses it, or set networks.vsim.port (0 = any free port)" in result.stderr
    )
    assert not (open_tmp_path / "data" / "postgres").exists()


def _uids(process_id: int) -> set[int]:
    """Real, effective, saved and file-system uid of a process."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return {int(uid) for line in lines if line.startswith("Uid:") for uid in line.split()[1:]}


def _read_as(uid: int, path: Path) -> bytes:
    """What a process of this uid is told when it reads a file."""
    done = subprocess.run(
        ["cat", str(path)], user=uid, extra_groups=[], capture_output=True, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.privileged
async def test_as_root_every_process_is_another_user(open_tmp_path: Path) -> None:
    """No two kinds of process share a uid, none is root, and none reads another's keys."""
    async with stack_in(open_tmp_path) as stack:
        uids = {key: _uids(pid) for key, pid in stack.endpoints.processes.items()}
        owners = {key: uid for key, (uid,) in uids.items()}
        assert len(set(owners.values())) == len(PROCESSES)
        assert 0 not in owners.values()
        master_key = stack.data_dir / "hsm" / "lmk"
        assert len(_read_as(owners["hsm-0"], master_key)) == 32
        networks = stack.data_dir / "networks"
        secrets = {
            master_key: "hsm-0",
            networks / "vsim-hsm.kek": "hsm-0",
            networks / "vsim.kek": "vsim",
        }
        for path, reader in secrets.items():
            assert b"Permission denied" not in _read_as(owners[reader], path)
            for stranger in PROCESSES - {reader}:
                assert b"Permission denied" in _read_as(owners[stranger], path)


@pytest.mark.privileged
def test_a_data_directory_in_roots_home_is_refused(open_tmp_path: Path) -> None:
    """Below a 0700 home no process could reach its files: said before anything starts."""
    home = open_tmp_path / "root"
    home.mkdir(mode=0o700)
    result = _turnout_up(home / "data")
    assert result.returncode == 3
    assert f"turnout up: {home} is closed to other users" in result.stderr


@pytest.mark.privileged
async def test_an_ordinary_user_runs_a_stack(open_tmp_path: Path) -> None:
    """Without root all processes share the user, which is said once, and nothing else differs."""
    async with stack_in(
        open_tmp_path, under=("unshare", "--user", "--map-user=1", "--map-group=1")
    ) as stack:
        assert stack.endpoints.processes.keys() == PROCESSES
        await _until_all_ready(stack.endpoints)
        assert stack.data_dir.stat().st_mode & 0o777 == 0o700
    assert stack.exit_code == 0
    assert stack.log_file.read_text().count("trust zones not separated") == 1
