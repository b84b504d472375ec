"""Knocking at a server's door, and how long each answer is borne."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.settings.tree import Ledger
from ledger.embedded.answering import (
    SILENT_KNOCKS_MIN,
    Answer,
    knock,
    patience_of,
    read_answer,
)

PASSWORD = b"R\x00\x00\x00\x17\x00\x00\x00\nSCRAM-SHA-256\x00\x00"
LIMITS = Ledger(answer_timeout_s=15.0, stop_timeout_s=5.0, start_timeout_s=60.0)


def refusal(code: bytes, message: bytes) -> bytes:
    """An ErrorResponse as a server says it to a startup packet."""
    return b"E\0\0\0\x6bSFATAL\0VFATAL\0C" + code + b"\0M" + message + b"\0Fx.c\0L1\0RY\0\0"


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (PASSWORD, Answer.SERVING),
        (refusal(b"53300", b"sorry, too many clients already"), Answer.SERVING),
        (refusal(b"57P03", b"the database system is starting up"), Answer.RECOVERING),
        (refusal(b"57P03", b"the database system is in recovery mode"), Answer.RECOVERING),
        (refusal(b"57P03", b"the database system is shutting down"), Answer.STOPPING),
        (b"", Answer.SILENT),
    ],
)
def test_an_answer_is_understood(said: bytes, answer: Answer) -> None:
    """A question about the password serves as well as any error about the client."""
    assert read_answer(said) is answer


async def test_where_nobody_listens_nobody_answers(tmp_path: Path) -> None:
    """A socket that was removed is as bad as a server that is stopped."""
    assert await knock(tmp_path / "missing", wait_s=1.0) is Answer.SILENT


@pytest.mark.parametrize(
    ("answer", "limit_s"),
    [(Answer.SILENT, 15.0), (Answer.STOPPING, 5.0), (Answer.RECOVERING, 60.0)],
)
def test_each_state_is_borne_for_its_own_time(answer: Answer, limit_s: float) -> None:
    """It counts from the first such answer, and a server that serves in between begins anew."""
    patience = patience_of(LIMITS)
    assert not patience.spent(answer, 100.0)
    assert not patience.spent(answer, 100.0 + limit_s - 0.1)
    assert not patience.spent(Answer.SERVING, 100.0 + limit_s)
    assert not patience.spent(answer, 200.0)
    assert not patience.spent(answer, 200.0 + limit_s - 0.1)
    assert patience.spent(answer, 200.0 + limit_s)


def test_a_server_that_serves_is_never_too_much() -> None:
    """However long."""
    patience = patience_of(LIMITS)
    assert not any(patience.spent(Answer.SERVING, now_s) for now_s in (0.0, 1e3, 1e9))


def test_one_silence_is_not_enough_however_long() -> None:
    """A supervisor that was itself stopped for a minute has to knock again."""
    patience = patience_of(LIMITS)
    spent = [patience.spent(Answer.SILENT, 100.0 * time) for time in range(SILENT_KNOCKS_MIN)]
    assert spent == [False] * (SILENT_KNOCKS_MIN - 1) + [True]
