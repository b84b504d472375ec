"""One Postgres session: libpq without blocking, driven by Trio.

Theory of operation
-------------------
libpq (through `psycopg.pq`) keeps the protocol; this module only waits: it sends, then sleeps in
`trio.lowlevel` until the socket has bytes. There is no thread, no second event loop and no
adaptation layer, because batches arrive packed (`ledger.pgtypes`) and leave as columns.

The session stays in libpq's *pipeline mode*. A call queues Parse (once per query and session),
Bind, Describe and Execute for each step and one Sync, which leave in one write and come back in
one read. Everything up to the Sync is **one implicit transaction**: Postgres commits it at the
Sync or, when a step fails, skips the rest and rolls all of it back (PostgreSQL manual, "Extended
Query" and "Pipeline Mode"). Hence `run` is a pipeline of one step, `pipeline` one of several, and
neither needs BEGIN. A deferred constraint speaks only at the Sync: an answer counts when the
Sync's own answer has come without an error.

*Cancellation* never leaves the protocol half-way: it is delivered before anything is sent, or
after the Sync's answer was read. What bounds the wait is the server's `statement_timeout`, and,
for a server that does not answer at all, `answer_timeout_s`, after which the session is closed. A
call that ends in `ConnectionLostError` has an unknown fate: it may have been committed.

*One user at a time*: a second task is refused with `ConnectionBusyError` before it sends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Self

import trio
from psycopg import OperationalError, pq

from ledger.dial import dial
from ledger.dsn import with_session
from ledger.errors import ConnectionBusyError, ConnectionLostError, DatabaseError
from ledger.queries import Query
from ledger.result import FATAL_ERROR, Result, failure, log_notice, session_lost

Params = Sequence[bytes | None]
Step = tuple[Query, Params]
_Sent = tuple[Query, bool]  # a query, and whether the answer due is to its Parse

ANSWER_TIMEOUT_S: Final = 15.0  # three times the default statement_timeout

# Plain ints: comparing with an IntEnum member costs a rich comparison each.
_BINARY: Final = int(pq.Format.BINARY)
_PIPELINE_SYNC: Final = int(pq.ExecStatus.PIPELINE_SYNC)
_PIPELINE_ABORTED: Final = int(pq.ExecStatus.PIPELINE_ABORTED)
_COPY: Final = frozenset({pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH})


class Connection:
    """One session; made by `open`, ended by `aclose`.

    Attributes:
        closed: True once the session is gone, by our doing or the server's.
        backend_process_id: The server process behind it, as `pg_stat_activity` names it.
    """

    def __init__(self, pgconn: pq.abc.PGconn, *, answer_timeout_s: float) -> None:
        self._pgconn = pgconn
        self._socket = pgconn.socket
        self._answer_timeout_s = answer_timeout_s
        self._prepared: set[Query] = set()
        self._busy = False
        self.closed = False
        self.backend_process_id = pgconn.backend_pid
        pgconn.notice_handler = log_notice
        pgconn.nonblocking = 1
        pgconn.enter_pipeline_mode()

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        role_settings: Mapping[str, str] | None = None,
        connect_timeout_s: float,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> Self:
        """Connect and log in.

        Args:
            dsn: A libpq connection string or URI.
            role_settings: Run-time parameters of the session, such as `ledger.dsn.hot_settings`.
            connect_timeout_s: For resolving, connecting and authenticating together.
            answer_timeout_s: A call not answered by then closes the session; keep it above
                `statement_timeout`.

        Raises:
            ConnectionLostError: When the server cannot be reached or refuses the log-in.
        """
        conninfo = with_session(dsn, role_settings or {})
        try:
            with trio.fail_after(connect_timeout_s):
                pgconn = await dial(conninfo)
        except trio.TooSlowError:
            raise ConnectionLostError(
                f"no Postgres session within {connect_timeout_s:g} s"
            ) from None
        return cls(pgconn, answer_timeout_s=answer_timeout_s)

    async def run(self, query: Query, params: Params = ()) -> Result:
        """Execute one query as a transaction of its own.

        Raises:
            RowError, RetryableError, DatabaseError: As Postgres answered; nothing was committed.
            ConnectionLostError: The fate is unknown.
            ConnectionBusyError: Another task is using the session.
        """
        return (await self.pipeline(((query, params),)))[0]

    async def pipeline(self, steps: Sequence[Step]) -> list[Result]:
        """Execute several queries in one round trip and one transaction: all of them or none.

        Raises:
            RowError, RetryableError, DatabaseError: Of the first step that failed, named in
                `query`; nothing was committed.
            ConnectionLostError: The fate is unknown.
            ConnectionBusyError: Another task is using the session.
        """
        sent: list[_Sent] = []
        answers = await self._exchange(lambda: self._queue(steps, sent), self._answers_until_sync)
        return self._results(sent, answers)

    async def script(self, sql: str) -> None:
        """Run statements in the simple protocol: for migrations and administration only.

        Several statements in one script are one implicit transaction unless they say otherwise.

        Raises:
            RowError, RetryableError, DatabaseError: Of the statement that failed.
            ConnectionLostError: The fate is unknown.
            ConnectionBusyError: Another task is using the session.
        """
        answers = await self._exchange(lambda: self._queue_script(sql), self._answers_until_none)
        self._pgconn.enter_pipeline_mode()
        for answer in answers:
            if answer.status == FATAL_ERROR:
                raise failure(answer)

    def check(self) -> bool:
        """Look, without waiting, whether the server has hung up; True while it has not."""
        if not self.closed and not self._busy:
            try:
                self._pgconn.consume_input()  # its farewell, if it hung up
                self._pgconn.consume_input()  # and then the end of the stream
            except OperationalError:
                self._close()
        return not self.closed

    def scram_verifier(self, role: str, password: str) -> str:
        """Compute what Postgres stores of a password, so that the password need not be sent."""
        verifier = self._pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        return verifier.decode()

    async def aclose(self) -> None:
        """Close the session; a call in flight ends with ConnectionLostError."""
        self._close()
        await trio.lowlevel.checkpoint()

    # ------------------------------------------------------------------------------- exchange

    async def _exchange(
        self,
        queue: Callable[[], None],
        read: Callable[[list[pq.abc.PGresult]], Awaitable[None]],
    ) -> list[pq.abc.PGresult]:
        """Own the session, send what `queue` queues, read the answers.

        Whatever breaks that closes the session: without its Sync the server drops what it got.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.closed:
            raise ConnectionLostError("the session is closed")
        if self._busy:
            raise ConnectionBusyError("another task is using this session")
        self._busy = True
        answers: list[pq.abc.PGresult] = []
        reason = f"no answer within {self._answer_timeout_s:g} s"
        try:
            with trio.move_on_after(self._answer_timeout_s, shield=True):
                queue()
                if self._pgconn.flush():
                    await self._flush_large()
                await read(answers)
                return answers
        except (OperationalError, OSError, trio.ClosedResourceError) as error:
            reason = " ".join(str(error).split()) or "the session was closed"
        except BaseException:
            self._close()
            raise
        finally:
            self._busy = False
        self._close()
        raise session_lost(answers, reason)

    def _queue(self, steps: Sequence[Step], sent: list[_Sent]) -> None:
        """Hand the messages to libpq; note in `sent` what an answer is due for."""
        pgconn, prepared = self._pgconn, self._prepared
        for query, params in steps:
            if query not in prepared and (query, True) not in sent:
                pgconn.send_prepare(query.statement, query.sql_bytes)
                sent.append((query, True))
            pgconn.send_query_prepared(query.statement, params, [_BINARY] * len(params), _BINARY)
            sent.append((query, False))
        pgconn.pipeline_sync()

    def _queue_script(self, sql: str) -> None:
        self._pgconn.exit_pipeline_mode()
        self._pgconn.send_query(sql.encode())

    async def _flush_large(self) -> None:
        """Send more than the socket takes at once, reading meanwhile: the server may need it."""
        while self._pgconn.flush():
            async with trio.open_nursery() as nursery:

                async def wait(ready: Callable[[int], Awaitable[None]]) -> None:
                    with contextlib.suppress(trio.ClosedResourceError):  # flush() will tell
                        await ready(self._socket)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(wait, trio.lowlevel.wait_writable)
                nursery.start_soon(wait, trio.lowlevel.wait_readable)
            self._pgconn.consume_input()

    async def _answers_until_sync(self, answers: list[pq.abc.PGresult]) -> None:
        pgconn = self._pgconn
        separated = False
        while True:
            while pgconn.is_busy():
                await trio.lowlevel.wait_readable(self._socket)
                pgconn.consume_input()
            answer = pgconn.get_result()
            if answer is None:
                if separated:  # one None ends a step; two in a row: no Sync will come
                    raise OperationalError("the server ended the session")
                separated = True
                continue
            separated = False
            if answer.status == _PIPELINE_SYNC:
                return
            answers.append(answer)

    async def _answers_until_none(self, answers: list[pq.abc.PGresult]) -> None:
        pgconn = self._pgconn
        while True:
            while pgconn.is_busy():
                await trio.lowlevel.wait_readable(self._socket)
                pgconn.consume_input()
            answer = pgconn.get_result()
            if answer is None:
                break
            if answer.status in _COPY:
                raise OperationalError("a script cannot COPY from or to its client")
            answers.append(answer)
        if pgconn.transaction_status == pq.TransactionStatus.UNKNOWN:
            raise OperationalError("the server ended the session")

    def _results(self, sent: list[_Sent], answers: list[pq.abc.PGresult]) -> list[Result]:
        """Match answers with what was sent; note what is prepared now; raise the first failure."""
        results: list[Result] = []
        error: DatabaseError | None = None
        for index, answer in enumerate(answers):
            # One answer more than sent: the implicit transaction failed at its Sync.
            query, is_parse = sent[index] if index < len(sent) else (None, False)
            if answer.status in (FATAL_ERROR, _PIPELINE_ABORTED):
                error = error or failure(answer, query.name if query else "")
            elif is_parse and query is not None:
                self._prepared.add(query)
            else:
                results.append(Result(answer))
        if error is not None:
            raise error
        return results

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            trio.lowlevel.notify_closing(self._socket)
            self._pgconn.finish()
