"""Whether a Postgres that runs can also be used.

Theory of operation
-------------------
A postmaster may live and serve nobody. It may be stopped, or its socket removed. And Postgres 18
that is asked for a fast shutdown while it recovers from the crash of a session ends its recovery
and then waits for ever, refusing everyone: "the database system is shutting down". Sessions that
are open do not tell: they may go on for hours without the postmaster, or be gone altogether.

So we knock as a client does: connect to the socket, send a startup packet, read the first bytes of
the answer and hang up, which Postgres takes for a client that changed its mind and logs nothing. A
question about the password means that it serves. A refusal names its state; each state but the
first is borne for as long as it may last in good order, and no longer.

The knock costs the server one fork (1 ms) every `WELL_S`.
"""

from __future__ import annotations

import enum
import struct
from pathlib import Path
from typing import Final

import attrs
import trio

from chassis.settings.tree import Ledger

WELL_S: Final = 5.0  # between knocks
UNWELL_S: Final = 0.5  # the same while it does not serve
SILENT_KNOCKS_MIN: Final = 3  # or it may have been us who were stopped, and not the server
ANSWER_BYTES_MAX: Final = 512

_PROTOCOL: Final = 3 << 16
_PARAMETERS: Final = b"user\0postgres\0database\0template1\0\0"
_KNOCK: Final = struct.pack(">II", 8 + len(_PARAMETERS), _PROTOCOL) + _PARAMETERS
_NOT_NOW: Final = b"\0C57P03\0"  # cannot_connect_now: starting, recovering or shutting down
_SHUTTING_DOWN: Final = b"shutting down"  # it speaks English: its environment says LC_ALL=C


class Answer(enum.Enum):
    """What a knock tells; the value is the word that operators read."""

    SERVING = "serves"
    RECOVERING = "is starting or recovering"
    STOPPING = "is shutting down unasked"
    SILENT = "does not answer"


def read_answer(said: bytes) -> Answer:
    """Understand the first bytes that the server says to a startup packet.

    Every error but 57P03 is one of a server that looks at its clients: too many of them, say.
    """
    if not said:
        return Answer.SILENT
    if said[:1] != b"E" or _NOT_NOW not in said:
        return Answer.SERVING
    return Answer.STOPPING if _SHUTTING_DOWN in said else Answer.RECOVERING


async def knock(socket_path: Path, *, wait_s: float) -> Answer:
    """Ask the server at a Unix socket for its state."""
    said = b""
    with trio.move_on_after(wait_s):
        try:
            async with await trio.open_unix_socket(str(socket_path)) as stream:
                await stream.send_all(_KNOCK)
                said = await stream.receive_some(ANSWER_BYTES_MAX)
        except (OSError, trio.BrokenResourceError):  # nobody listens, or who did is gone
            said = b""
    return read_answer(said)


@attrs.define
class Patience:
    """How long a server that does not serve is borne. Pure.

    Attributes:
        limits_s: by answer; no answer that is not in it is ever too much.
    """

    limits_s: dict[Answer, float]
    _answer: Answer = Answer.SERVING
    _since_s: float = 0.0
    _times: int = 0

    def spent(self, answer: Answer, now_s: float) -> bool:
        """Take note of an answer; whether the last of our patience is gone.

        Args:
            answer: to the knock that ended now.
            now_s: monotonic seconds.
        """
        if answer is not self._answer:
            self._answer, self._since_s, self._times = answer, now_s, 0
        self._times += 1
        limit_s = self.limits_s.get(answer)
        if limit_s is None or (answer is Answer.SILENT and self._times < SILENT_KNOCKS_MIN):
            return False
        return now_s - self._since_s >= limit_s


def patience_of(settings: Ledger) -> Patience:
    """With a server of these settings: each state has a time-out that says how long it may last."""
    return Patience(
        {
            Answer.SILENT: settings.answer_timeout_s,
            Answer.STOPPING: settings.stop_timeout_s,
            Answer.RECOVERING: settings.start_timeout_s,
        }
    )


async def until_unusable(socket_path: Path, settings: Ledger) -> Answer:
    """Knock until the server has not served for too long; says how it stood at last."""
    patience = patience_of(settings)
    while True:
        answer = await knock(socket_path, wait_s=settings.answer_timeout_s / SILENT_KNOCKS_MIN)
        if patience.spent(answer, trio.current_time()):
            return answer
        await trio.sleep(WELL_S if answer is Answer.SERVING else UNWELL_S)
