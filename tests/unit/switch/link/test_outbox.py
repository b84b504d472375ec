from __future__ import annotations

import pytest

from switch.link.correlation import Correlation, Slot, Window, correlation_key
from switch.link.events import Answered, Fields, NotSent, Unknown
from switch.link.outbox import CHUNK_BYTES_MAX, CONTROL_FRAMES_MAX, LinkOutbox


def _request(number: int) -> Fields:
    return {0: "0200", 7: "0102030405", 11: f"{number:06d}", 32: "4", 37: f"R{number:011d}"}


class Bench:
    """An outbox, its table and a window."""

    def __init__(self, *, frames_max: int = 1_000) -> None:
        self.table = Correlation(2.0)
        self.window = Window(0, 10_000)
        self.outbox = LinkOutbox(self.table, frames_max=frames_max, age_max_s=1.5)

    def put(self, number: int, *, frame: bytes = b"frame", accepted_at: float = 100.0) -> bool:
        """Queue a message with its number as token."""
        self.window.in_flight += 1
        slot = Slot(self.window, correlation_key(_request(number)), number, frame, accepted_at)
        return self.outbox.put(slot)


@pytest.fixture
def bench() -> Bench:
    """An empty outbox."""
    return Bench()


def test_everything_that_fits_leaves_in_one_chunk(bench: Bench) -> None:
    """Messages leave in order, and their deadlines start with the chunk."""
    for number in range(3):
        bench.put(number, frame=bytes([number]))
    assert bench.outbox.next_chunk(100.5, signed_on=True) == (b"\x00\x01\x02", [])
    assert bench.outbox.next_chunk(100.5, signed_on=True) == (b"", [])
    assert bench.table.next_deadline == 102.5
    assert (len(bench.outbox), bench.outbox.sent_total) == (0, 3)


def test_a_chunk_never_exceeds_one_tls_record(bench: Bench) -> None:
    """What does not fit waits, unsent, for the next chunk."""
    for number in range(200):
        bench.put(number, frame=b"x" * 210)
    sizes = []
    while len(bench.outbox):
        chunk, _ = bench.outbox.next_chunk(100.0, signed_on=True)
        sizes.append(len(chunk))
        assert len(bench.table) == sum(sizes) // 210
    assert sizes == [16_380, 16_380, 9_240]
    assert CHUNK_BYTES_MAX == 16_384


def test_only_what_entered_a_chunk_is_unknown_when_the_link_is_lost(bench: Bench) -> None:
    """The chunk in `send_all` is unknown; what is behind it was not sent."""
    for number in range(100):
        bench.put(number, frame=b"x" * 300)
    bench.outbox.next_chunk(100.0, signed_on=True)
    not_sent = bench.outbox.refuse_all("link_lost")
    unknown = bench.table.link_lost(bench.window, 100.1)
    assert unknown == [Unknown(number, "link_lost") for number in range(54)]
    assert not_sent == [NotSent(number, "link_lost") for number in range(54, 100)]
    assert bench.window.in_flight == 0


def test_without_sign_on_no_message_leaves(bench: Bench) -> None:
    """Network management goes out before the sign-on is answered, and nothing else."""
    bench.put(1)
    bench.outbox.put_control(b"0800")
    assert bench.outbox.next_chunk(100.0, signed_on=False) == (b"0800", [])
    assert len(bench.outbox) == 1
    assert len(bench.table) == 0


def test_network_management_goes_ahead(bench: Bench) -> None:
    """An echo is answered even where hundreds of messages wait."""
    for number in range(200):
        bench.put(number, frame=b"x" * 210)
    bench.outbox.put_control(b"0810")
    chunk, _ = bench.outbox.next_chunk(100.0, signed_on=True)
    assert chunk.startswith(b"0810xxx")
    assert len(chunk) <= CHUNK_BYTES_MAX


def test_a_message_too_old_is_never_sent(bench: Bench) -> None:
    """Age is judged when the chunk is made; the edge is still young enough."""
    bench.put(1, accepted_at=98.4)
    bench.put(2, accepted_at=98.5, frame=b"young")
    chunk, refused = bench.outbox.next_chunk(100.0, signed_on=True)
    assert (chunk, refused) == (b"young", [NotSent(1, "too_old")])
    assert bench.window.in_flight == 1


def test_messages_age_behind_a_send_that_does_not_finish(bench: Bench) -> None:
    """They are given up in time, without waiting for the writer."""
    bench.put(1, accepted_at=98.0)
    bench.put(2, accepted_at=99.0)
    assert bench.outbox.refuse_aged(100.0) == [NotSent(1, "too_old")]
    assert bench.outbox.refuse_aged(100.0) == []
    assert len(bench.outbox) == 1


def test_a_second_message_of_the_same_key_is_refused(bench: Bench) -> None:
    """The first goes out and is answered; the second never leaves."""
    bench.put(7, frame=b"first")
    bench.put(7, frame=b"second")
    chunk, refused = bench.outbox.next_chunk(100.0, signed_on=True)
    assert (chunk, refused) == (b"first", [NotSent(7, "duplicate_key")])
    answer = _request(7) | {0: "0210", 39: "00"}
    assert isinstance(bench.table.answer(answer, 100.1, 0), Answered)
    assert bench.window.in_flight == 0


def test_both_queues_are_bounded() -> None:
    """Neither messages nor network management may pile up."""
    bench = Bench(frames_max=2)
    assert [bench.put(number) for number in range(3)] == [True, True, False]
    assert all(bench.outbox.put_control(b"x") for _ in range(CONTROL_FRAMES_MAX))
    assert not bench.outbox.put_control(b"x")


def test_network_management_of_a_dead_connection_is_dropped(bench: Bench) -> None:
    """An answer belongs to the connection its question came on."""
    bench.outbox.put_control(b"0810")
    bench.outbox.drop_control()
    assert bench.outbox.next_chunk(100.0, signed_on=True) == (b"", [])
