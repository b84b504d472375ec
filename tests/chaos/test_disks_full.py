"""One disk full at a time, each writer's own: payments go on, nothing is lost, all resume alone.

Each writer has a small disk of its own here. A full one is told once, in the log and in the
metrics, and when there is room again everything is as if it had never been full.
"""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from stack.temporary import TemporaryStack, stack_in
from tests.support.namespaces import filled, mount_memory, stack_with_mounts
from tests.support.whole_audit import FILLING_SQL
from tests.support.whole_stack import QUIET, WholeStack, merchant_of
from turnout_client import Card

pytestmark = pytest.mark.privileged
MIB = 1_048_576
RATE_PER_S = 40.0
FULL_S = 3.0
REFUNDS = 40  # each wants a card from the HSM, and a line in its audit log
ON_ITS_WAY_S = 1.0  # an answer that was recorded in the last of the room
SEGMENT_BYTES = MIB
# Disks: each writer's folder, and how large its disk is.
DISKS = {"stream": 6 * MIB, "audit": 4 * MIB, "witness": MIB, "hsm": MIB, "networks": MIB}
SETTINGS = {
    "log.level": "warning",
    "stream.segment_bytes": str(SEGMENT_BYTES),
    "stream.batch_bytes_max": str(SEGMENT_BYTES // 2),
    "relay.batch_records_max": "512",
}
WITHIN_S = 20.0
PRIVATELY = ("unshare", "--mount", "--propagation", "private", "sh", "-c")


@asynccontextmanager
async def small_disks(folder: Path) -> AsyncIterator[WholeStack]:
    """A stack whose writers have disks of their own, and its merchant."""
    data_dir = folder / "data"
    data_dir.mkdir()
    data_dir.chmod(0o711)
    steps = []
    for name, size in DISKS.items():
        (data_dir / name).mkdir()
        steps.append(mount_memory(data_dir / name, f"size={size},mode=0755"))
    command = [sys.executable, "-P", "-m", "turnout", "up", "--free-ports"]
    command += ["--data-dir", str(data_dir)]
    for name, value in SETTINGS.items():
        command += ["--set", f"{name}={value}"]
    mounted = stack_with_mounts(steps, command, data_dir=data_dir, log_file=folder / "up.log")
    async with mounted as stack, merchant_of(stack) as whole:
        await whole.pay_well(within_s=WITHIN_S)
        yield whole
    assert stack.exit_code == 0


def figure(stack: TemporaryStack, process: str, name: str) -> float:
    """A number of a process's metrics."""
    address = stack.endpoints.metrics[process]
    with urllib.request.urlopen(address, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


async def until(stack: TemporaryStack, process: str, name: str, value: float) -> None:
    """Wait for a number."""
    with trio.fail_after(WITHIN_S):
        while await trio.to_thread.run_sync(figure, stack, process, name) != value:
            await trio.sleep(0.1)


def told(stack: TemporaryStack, event: str) -> int:
    """How often the log has a line."""
    return stack.log_file.read_text().count(f'"event": "{event}"')


def fill_the_stream(whole: WholeStack) -> None:
    """More changes than the segments at hand have room for."""
    with whole.superuser() as session:
        for _ in range(24):
            session.execute(FILLING_SQL)
            session.commit()


@pytest.mark.parametrize(
    ("name", "process", "figure_name", "event"),
    [
        ("audit", "audit", "turnout_audit_refused_total", "nothing is signed"),
        ("witness", "witness", "turnout_witness_refused_total", "nothing is witnessed"),
        ("stream", "relay", "turnout_relay_stream_full_ratio", "stream_full"),
    ],
    ids=["audit log", "witness", "stream"],
)
async def test_a_follower_of_the_ledger_without_room_stops_no_payment(
    open_tmp_path: Path, name: str, process: str, figure_name: str, event: str
) -> None:
    """It says so once, keeps its process, and takes up what it missed."""
    async with small_disks(open_tmp_path) as whole:
        stack = whole.stack
        processes = dict(stack.refresh().processes)
        async with whole.load(RATE_PER_S) as load:
            with filled(stack.data_dir / name, leave_bytes=0):
                if name == "stream":
                    await trio.to_thread.run_sync(fill_the_stream, whole)
                await until(stack, process, figure_name, 1)
                before = len(load.told)
                await trio.sleep(FULL_S)
                assert len(load.told) > before + FULL_S * RATE_PER_S / 3
            await until(stack, process, figure_name, 0)
        assert load.statuses().keys() <= {"succeeded", "failed"}
        assert told(stack, event) == 1
        assert stack.refresh().processes == processes
        await whole.prove()
        await whole.prove_stream()


async def paid_apart(whole: WholeStack) -> str:
    """A payment that is to be refunded, and so is none of those with one transaction."""
    intent = await whole.shop.create_payment_intent(2_499, "usd")
    card = Card(number="4242424242424242", exp_month=12, exp_year=2030, cvc="123")
    charge = await whole.shop.charge(intent, await whole.shop.seal(intent, card))
    assert charge.status == "succeeded"
    return charge.payment_intent


async def test_an_hsm_without_room_opens_cards_and_releases_none(open_tmp_path: Path) -> None:
    """Charges are approved; what needs a stored card waits, and is done when there is room."""
    async with small_disks(open_tmp_path) as whole:
        stack = whole.stack
        processes = dict(stack.refresh().processes)
        refunds: list[str] = []

        async def refund(intent: str) -> None:
            refunds.append((await whole.shop.refund(intent)).status)

        paid = [await paid_apart(whole) for _ in range(REFUNDS)]
        async with whole.load(RATE_PER_S) as load, trio.open_nursery() as operator:
            with filled(stack.data_dir / "hsm", leave_bytes=0):
                before = len(load.told)
                for intent in paid:
                    operator.start_soon(refund, intent)
                    await trio.sleep(FULL_S / REFUNDS)
                assert len(load.told) > before + FULL_S * RATE_PER_S / 3
                assert len(refunds) < REFUNDS / 2  # some fit into the last block of the log
            operator.cancel_scope.deadline = trio.current_time() + WITHIN_S
        assert refunds == ["succeeded"] * REFUNDS
        assert load.statuses().keys() <= {"succeeded", "failed"}
        assert stack.refresh().processes == processes
        await whole.prove(refunded=paid)


async def test_a_network_that_cannot_record_answers_nothing(open_tmp_path: Path) -> None:
    """It would be a false witness. Its payments end all the same, and it comes back by itself."""
    async with small_disks(open_tmp_path) as whole:
        stack = whole.stack
        async with whole.load(RATE_PER_S) as load:
            await trio.sleep(1)
            with filled(stack.data_dir / "networks", leave_bytes=0):
                await trio.sleep(ON_ITS_WAY_S)
                approved = load.statuses()["succeeded"]
                await trio.sleep(FULL_S)
                assert load.statuses()["succeeded"] == approved
                assert load.unanswered > FULL_S * RATE_PER_S / 2
            await whole.pay_well(within_s=2 * WITHIN_S)
        assert len(load.told) == load.started
        await whole.prove()


async def test_a_backup_without_room_says_so_and_disturbs_nobody(open_tmp_path: Path) -> None:
    """What is left of it is no backup; another folder takes one."""
    target, mounted = open_tmp_path / "backup", open_tmp_path / "small"
    mounted.mkdir()
    async with stack_in(open_tmp_path, QUIET) as stack, merchant_of(stack) as whole:
        await whole.pay_well(within_s=WITHIN_S)
        small = [mount_memory(mounted, f"size={8 * MIB},mode=0700"), 'exec "$@"']
        command = [sys.executable, "-P", "-m", "turnout", "ledger", "backup"]
        place = ["--data-dir", str(stack.data_dir)]
        done = await trio.run_process(
            [*PRIVATELY, " && ".join(small), "sh", *command, str(mounted), *place],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        assert done.returncode == 1
        assert b"no space left" in done.stderr.lower()
        assert b"Traceback" not in done.stderr
        await whole.pay_well(within_s=WITHIN_S)
        again = await trio.run_process([*command, str(target), *place], capture_stdout=True)
        assert again.returncode == 0
        await whole.prove()
    assert stack.exit_code == 0
