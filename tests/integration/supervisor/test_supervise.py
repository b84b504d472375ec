"""The supervisor against real processes and real signals."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from chassis.supervisor import process_is_alive
from tests.support.toy_stack import Toy, ToyStack

PAIR = [
    Toy(key="back", stop_rank=2, behavior="slow"),
    Toy(key="front", stop_rank=1, needs=("back",), listens=True),
]


def _ask(folder: Path) -> int:
    """The process id of whoever answers on the front's socket."""
    host, _, port = (folder / "front.address").read_text().partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        return int(client.makefile().readline())


def test_a_killed_process_comes_back_on_the_same_socket(open_tmp_path: Path) -> None:
    """After kill -9 the process is restarted, said aloud, and waiting clients are served."""
    with ToyStack(open_tmp_path / "data", PAIR) as stack:
        first = stack.process_ids()
        assert _ask(stack.folder) == first["front"]
        os.kill(first["front"], signal.SIGKILL)
        successor = _ask(stack.folder)  # waits in the backlog meanwhile
        assert successor != first["front"]
        stack.wait_until(lambda: stack.process_ids()["front"] == successor)
        assert stack.process_ids()["back"] == first["back"]
        assert "front: signal 9 (SIGKILL); starting it again in 0.05 s" in stack.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_one_signal_drains_in_order(open_tmp_path: Path, number: signal.Signals) -> None:
    """Units start by need and drain by rank, each after the one before; the exit status is 0."""
    with ToyStack(open_tmp_path / "data", PAIR) as stack:
        stack.process_ids()
        stack.signal(number)
        assert stack.wait() == 0
        assert [line.rpartition(" ")[0] for line in stack.notes()] == [
            "back started",
            "front started",
            "front draining",
            "front ended",
            "back draining",
            "back ended",
        ]


def test_the_second_signal_kills_at_once(open_tmp_path: Path) -> None:
    """A process that hangs in its drain does not hold up a second Ctrl-C: 130."""
    toys = [Toy(key="front", stop_rank=1, behavior="stuck"), Toy(key="back", stop_rank=2)]
    with ToyStack(open_tmp_path / "data", toys) as stack:
        process_ids = stack.process_ids()
        stack.signal(signal.SIGINT)
        stack.wait_until(lambda: stack.events("draining") == ["front"])
        stack.signal(signal.SIGINT)
        began = time.monotonic()
        assert stack.wait() == 130
        assert time.monotonic() - began < 2
        assert not any(map(process_is_alive, process_ids.values()))
        assert "back" not in stack.events("draining")


def test_a_drain_that_takes_too_long_is_killed(open_tmp_path: Path) -> None:
    """After the drain time-out the process is killed, the rest still drains, and status is 1."""
    toys = [Toy(key="front", stop_rank=1, behavior="stuck"), Toy(key="back", stop_rank=2)]
    with ToyStack(open_tmp_path / "data", toys, drain_timeout_s=0.3) as stack:
        stack.process_ids()
        stack.signal(signal.SIGTERM)
        assert stack.wait() == 1
        assert stack.events("ended") == ["back"]
        assert "front: not drained within 0.3 s; killing it" in stack.stderr


def test_a_process_that_cannot_start_ends_the_stack(open_tmp_path: Path) -> None:
    """After the last attempt the rest is drained, the reason named, and the status is 3."""
    toys = [Toy(key="good"), Toy(key="bad", behavior="fails", needs=("good",))]
    with ToyStack(open_tmp_path / "data", toys, start_attempts_max=2) as stack:
        assert stack.wait() == 3
        assert stack.events("started") == ["good", "bad", "bad"]
        assert stack.events("ended") == ["good"]
        assert "cannot start: bad: exit status 1 (RuntimeError: told to fail)" in stack.stderr


def test_a_process_that_is_never_ready_is_killed(open_tmp_path: Path) -> None:
    """The ready time-out ends what does not come up."""
    toys = [Toy(key="bad", behavior="never-ready")]
    with ToyStack(open_tmp_path / "data", toys, start_attempts_max=1, ready_timeout_s=0.8) as stack:
        assert stack.wait() == 3
        assert "bad: not ready within 0.8 s; killing it" in stack.stderr


def test_processes_end_by_themselves_when_their_supervisor_is_killed(
    open_tmp_path: Path,
) -> None:
    """They drain at the end of their lifelines, and the next stack waits until they have."""
    folder = open_tmp_path / "data"
    with ToyStack(folder, PAIR) as first:
        process_ids = first.process_ids()
        first.process.kill()
        (folder / "published.json").unlink()
        with ToyStack(folder, PAIR) as second:
            second.process_ids()
            assert not any(map(process_is_alive, process_ids.values()))
            order = [line.split()[1] for line in second.notes()]
            assert sorted(order[2:6]) == ["draining", "draining", "ended", "ended"]
            assert order[6:] == ["started", "started"]


def test_a_second_stack_on_the_same_folder_is_refused(open_tmp_path: Path) -> None:
    """The lock names the process that holds it; the first stack goes on undisturbed."""
    folder = open_tmp_path / "data"
    with ToyStack(folder, [Toy(key="only", listens=False)]) as first:
        process_ids = first.process_ids()
        with ToyStack(folder, [Toy(key="only")]) as second:
            assert second.wait() == 3
            assert f"another stack (process {first.process.pid}) runs on {folder}" in second.stderr
            assert process_is_alive(process_ids["only"])
