"""The disk full under load: refused in time, nothing lost, and on again when there is room.

All writers share it: Postgres, the event stream, the audit log. Each goes on by itself.
"""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import psycopg
import pytest
import trio

from chassis.supervisor import process_is_alive
from stack.temporary import TemporaryStack
from tests.support.namespaces import filled, free_bytes, mount_memory, stack_with_mounts
from tests.support.whole_stack import WholeStack, merchant_of
from turnout_client import Card, UnavailableError

pytestmark = pytest.mark.privileged
MIB = 1_048_576
DISK_BYTES = 512 * MIB
FREE_BYTES_MIN = 96 * MIB
RATE_PER_S = 100.0
CARD = Card(number="4242424242424242", exp_month=12, exp_year=2030, cvc="123")
SHEDS_WITHIN_S = 2.5  # the watch looks once a second
SERVES_AGAIN_WITHIN_S = 20.0  # Retry-After, the supervisor's delay, recovery
SEGMENTS_MAX = 64  # more WAL than max_wal_size leaves on the disk


def _stack(
    folder: Path, *, free_bytes_min: int = FREE_BYTES_MIN
) -> AbstractAsyncContextManager[TemporaryStack]:
    data_dir = folder / "data"
    data_dir.mkdir()
    command = [sys.executable, "-P", "-m", "turnout", "up", "--free-ports"]
    command += ["--data-dir", str(data_dir), "--set", "log.level=warning"]
    command += ["--set", f"ledger.free_bytes_min={free_bytes_min}"]
    command += ["--set", "ledger.max_wal_size=128MB", "--set", "ledger.shared_buffers=64MB"]
    return stack_with_mounts(
        [mount_memory(data_dir, f"size={DISK_BYTES},mode=0711")],
        command,
        data_dir=data_dir,
        log_file=folder / "up.log",
    )


async def test_below_the_watermark_nothing_new_is_taken(open_tmp_path: Path) -> None:
    """503 for new intents and charges; reading goes on, and so does all without a restart."""
    async with (
        _stack(open_tmp_path) as stack,
        merchant_of(stack) as whole,
        whole.impatient() as hasty,
    ):
        await whole.pay_well(within_s=20)
        assert free_bytes(stack.data_dir) > FREE_BYTES_MIN
        created = await whole.shop.create_payment_intent(2_499, "usd")
        sealed = await whole.shop.seal(created, CARD)
        processes = stack.refresh().processes
        async with whole.load(RATE_PER_S) as load:
            await trio.sleep(0.5)
            with filled(stack.data_dir, leave_bytes=FREE_BYTES_MIN // 2):
                await trio.sleep(SHEDS_WITHIN_S)
                for refused in (
                    hasty.create_payment_intent(2_499, "usd"),
                    hasty.charge(created, sealed),
                ):
                    with pytest.raises(UnavailableError) as caught:
                        await refused
                    assert caught.value.code == "insufficient_storage"
                    assert caught.value.retry_after_s > 0
                assert (await hasty.retrieve(created)).status == "created"
            await whole.pay_well(within_s=SERVES_AGAIN_WITHIN_S)
        assert load.statuses().keys() == {"succeeded", "failed"}
        assert stack.refresh().processes == processes
        await whole.prove()
        await whole.prove_stream()
        assert not await whole.doubts(load)
    assert stack.exit_code == 0


def _write_until_it_stops(whole: WholeStack) -> None:
    """Use up the WAL that Postgres has at hand; without room for more it stops (PANIC)."""
    with whole.superuser() as session:
        session.autocommit = True
        for _ in range(SEGMENTS_MAX):
            session.execute("SELECT pg_logical_emit_message(false, 'test', ''), pg_switch_wal()")


async def test_a_disk_filled_to_the_last_byte(open_tmp_path: Path) -> None:
    """Without a watermark Postgres itself stops; with room it recovers, and nothing is lost."""
    async with _stack(open_tmp_path, free_bytes_min=0) as stack, merchant_of(stack) as whole:
        await whole.pay_well(within_s=20)
        postgres = whole.process_id("postgres")
        async with whole.load(RATE_PER_S) as load:
            await trio.sleep(1.2)
            with filled(stack.data_dir, leave_bytes=0):
                assert load.charging > 0
                with pytest.raises(psycopg.OperationalError):
                    await trio.to_thread.run_sync(_write_until_it_stops, whole)
                with trio.fail_after(20):
                    while process_is_alive(postgres):
                        await trio.sleep(0.05)
            await whole.back("postgres", instead_of=postgres)
            await whole.pay_well(within_s=SERVES_AGAIN_WITHIN_S)
        assert len(load.told) == load.started
        await whole.prove()
        await whole.prove_stream()
    assert stack.exit_code == 0
