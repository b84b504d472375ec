"""A replication session: libpq without blocking, driven by Trio.

It knows the walsender's commands (PostgreSQL manual, "Streaming Replication Protocol") and, once
the changes flow, hands over envelopes as they come. It decides nothing.

Two tasks use it at once while changes flow: one waits in `receive`, another calls `send`. Both
only touch libpq between checkpoints, so neither sees the other half-way.

`wal_sender_timeout` is set by ourselves for this session: how soon we must show life is then known,
whatever the server's own setting is.
"""

from __future__ import annotations

import contextlib
import re
from typing import Final, Self

import trio
from psycopg import OperationalError, pq
from psycopg.conninfo import make_conninfo

from ledger.dial import dial
from ledger.dsn import parsed, with_session
from ledger.errors import ConnectionLostError
from ledger.relay.errors import RelayError, ReplicationEndedError
from ledger.relay.positions import Identity, NewSlot, parse_lsn
from ledger.result import FATAL_ERROR, failure, log_notice, session_lost

PUBLICATION: Final = "turnout_events"
PLUGIN: Final = "pgoutput"
FAILOVER_SINCE: Final = 170_000  # server version whose slots can follow a promotion
ANSWER_TIMEOUT_S: Final = 30.0  # of a command that waits for nobody
_SLOT_NAME: Final = re.compile(r"[a-z0-9_]{1,63}")
_COPY_BOTH: Final = int(pq.ExecStatus.COPY_BOTH)


class ReplicationSession:
    """One session with a walsender; made by `open`, ended by `aclose`."""

    def __init__(self, pgconn: pq.abc.PGconn) -> None:
        self._pgconn = pgconn
        self._closed = False
        pgconn.notice_handler = log_notice
        pgconn.nonblocking = 1

    @classmethod
    async def open(cls, dsn: str, *, connect_timeout_s: float, sender_timeout_s: float) -> Self:
        """Connect to the database's walsender.

        Args:
            dsn: of a role that may replicate.
            connect_timeout_s: for resolving, connecting and authenticating together.
            sender_timeout_s: the server gives us up when it hears nothing for so long.

        Raises:
            ConnectionLostError: the server cannot be reached or refuses the log-in.
        """
        milliseconds = str(int(sender_timeout_s * 1_000))
        conninfo = with_session(dsn, {"wal_sender_timeout": milliseconds})
        conninfo = make_conninfo(**parsed(conninfo) | {"replication": "database"})
        try:
            with trio.fail_after(connect_timeout_s):
                return cls(await dial(conninfo))
        except trio.TooSlowError:
            raise ConnectionLostError(
                f"no replication session within {connect_timeout_s:g} s"
            ) from None

    # ---------------------------------------------------------------------------------- commands

    async def identify(self) -> Identity:
        """Which cluster this is, and how far its WAL is on disk."""
        row = (await self._command("IDENTIFY_SYSTEM"))[0]
        return Identity(
            system_identifier=int(_text(row[0])),
            timeline=int(_text(row[1])),
            flushed_lsn=parse_lsn(_text(row[2])),
        )

    async def timeline_history(self, timeline: int) -> str:
        """The history file of a timeline; the first one has none, and an empty history."""
        if timeline == 1:
            return ""
        return _text((await self._command(f"TIMELINE_HISTORY {timeline}"))[0][1])

    async def create_slot(self, name: str, *, timeout_s: float) -> NewSlot:
        """Make the slot and export a snapshot of what was committed before it begins.

        The snapshot can be used by other sessions until the next command of this one. The server
        waits for transactions that are open now to end.

        Raises:
            DatabaseError: the server refuses: the name is taken, all slots are in use.
            ConnectionLostError: or transactions stayed open for longer than `timeout_s`.
        """
        failover = ", FAILOVER true" if self._pgconn.server_version >= FAILOVER_SINCE else ""
        statement = (
            f"CREATE_REPLICATION_SLOT {_checked(name)} LOGICAL {PLUGIN} "
            f"(SNAPSHOT 'export'{failover})"
        )
        row = (await self._command(statement, timeout_s=timeout_s))[0]
        return NewSlot(consistent_lsn=parse_lsn(_text(row[1])), snapshot=_text(row[2]))

    async def drop_slot(self, name: str, *, timeout_s: float) -> None:
        """Remove the slot, and wait until whoever uses it has let go."""
        await self._command(f"DROP_REPLICATION_SLOT {_checked(name)} WAIT", timeout_s=timeout_s)

    async def start(self, slot: str) -> None:
        """Let the changes flow.

        From 0/0, which means from what was acknowledged: a position beyond that would be skipped
        to without a word. What comes twice is ours to drop.

        Raises:
            DatabaseError: the server refuses: another session uses the slot, or it lost its WAL.
        """
        options = f"proto_version '1', publication_names '{PUBLICATION}'"
        options += ", binary 'true', messages 'true'"
        statement = f"START_REPLICATION SLOT {_checked(slot)} LOGICAL 0/0 ({options})"
        await self._command(statement, wanted=_COPY_BOTH)

    # -------------------------------------------------------------------------------- the changes

    async def receive(self, count_max: int) -> list[bytes]:
        """Wait for envelopes; returns what is there, at least one and not many over `count_max`.

        Raises:
            ReplicationEndedError: the server has ended the flow.
            ConnectionLostError: the session is gone.
        """
        has_waited = False
        while not (envelopes := self.take(count_max)):
            try:
                await trio.lowlevel.wait_readable(self._pgconn.socket)
            except (OperationalError, OSError, trio.ClosedResourceError) as error:
                raise _lost(error) from None
            has_waited = True
        if not has_waited:
            await trio.lowlevel.checkpoint()
        return envelopes

    def take(self, count_max: int) -> list[bytes]:
        """Return what is there now, as `receive` does, or nothing; raises likewise."""
        try:
            return self._drain(count_max)
        except OperationalError as error:
            raise _lost(error) from None

    def _drain(self, count_max: int) -> list[bytes]:
        """Take what libpq holds and the socket has: a wait costs as much as thirty envelopes."""
        get, consume = self._pgconn.get_copy_data, self._pgconn.consume_input
        envelopes: list[bytes] = []
        take = envelopes.append
        has_read = False
        while len(envelopes) < count_max:
            count_before = len(envelopes)
            size, data = get(1)
            while size > 0:
                take(bytes(data))
                size, data = get(1)
            if size < 0 and envelopes:
                break  # it will be found again once these are taken care of
            if size < 0:
                raise self._ended()
            if has_read and len(envelopes) == count_before:
                break  # the socket had no whole message more
            try:
                consume()
            except OperationalError:
                if not envelopes:
                    raise
                break
            has_read = True
        return envelopes

    async def send(self, message: bytes) -> None:
        """Send one of our messages; waits only while the server takes nothing.

        Raises:
            ConnectionLostError: the session is gone.
        """
        try:
            while not self._pgconn.put_copy_data(message):
                await trio.lowlevel.wait_writable(self._pgconn.socket)
            while self._pgconn.flush():
                await trio.lowlevel.wait_writable(self._pgconn.socket)
        except (OperationalError, OSError, trio.ClosedResourceError) as error:
            raise _lost(error) from None

    async def aclose(self) -> None:
        """End the session at once; the slot stays where it was."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OperationalError):  # libpq has closed its socket already
                trio.lowlevel.notify_closing(self._pgconn.socket)
            self._pgconn.finish()
        await trio.lowlevel.checkpoint()

    # ------------------------------------------------------------------------------------- inside

    def _ended(self) -> RelayError | ConnectionLostError:
        """Why the copy came to its end: the server's own words if it has any."""
        result = self._pgconn.get_result()
        if result is not None and result.status == FATAL_ERROR:
            error = failure(result)
            if isinstance(error, ConnectionLostError):
                return error
            return ReplicationEndedError(str(error))
        return ReplicationEndedError("the server has ended the replication")

    async def _command(
        self,
        statement: str,
        *,
        wanted: int = int(pq.ExecStatus.TUPLES_OK),
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> list[list[bytes | None]]:
        """Run one of the walsender's commands; returns its rows as text."""
        try:
            with trio.fail_after(timeout_s):
                result = await self._answer(statement, wanted)
        except trio.TooSlowError:
            await self.aclose()
            word = " ".join(statement.split()[:2])
            raise ConnectionLostError(f"no answer to {word} within {timeout_s:g} s") from None
        except (OperationalError, OSError, trio.ClosedResourceError) as error:
            raise _lost(error) from None
        return [
            [result.get_value(row, column) for column in range(result.nfields)]
            for row in range(result.ntuples)
        ]

    async def _answer(self, statement: str, wanted: int) -> pq.abc.PGresult:
        pgconn = self._pgconn
        pgconn.send_query(statement.encode())
        while pgconn.flush():
            await trio.lowlevel.wait_writable(pgconn.socket)
        answers: list[pq.abc.PGresult] = []
        while True:
            while pgconn.is_busy():
                await trio.lowlevel.wait_readable(pgconn.socket)
                pgconn.consume_input()
            answer = pgconn.get_result()
            if answer is None:
                break
            answers.append(answer)
            if answer.status == _COPY_BOTH:
                break
        if not answers or pgconn.transaction_status == pq.TransactionStatus.UNKNOWN:
            raise session_lost(answers, "the server ended the replication session")
        for answer in answers:
            if answer.status == FATAL_ERROR:
                raise failure(answer, statement.split(maxsplit=1)[0].lower())
        if wanted == _COPY_BOTH and answers[-1].status != _COPY_BOTH:
            raise ReplicationEndedError("the server did not start the replication")
        return answers[-1]


def _text(cell: bytes | None) -> str:
    return "" if cell is None else cell.decode()


def _checked(name: str) -> str:
    if not _SLOT_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no slot name: a-z, 0-9 and _, at most 63")
    return name


def _lost(error: BaseException) -> ConnectionLostError:
    return ConnectionLostError(" ".join(str(error).split()) or "the session was closed")
