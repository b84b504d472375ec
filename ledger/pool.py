"""A fixed number of Postgres sessions, lent out in the order in which they are asked for.

One keeper task per session opens it, lends it through a memory channel (fair: first come, first
served) and opens another when it is lost, with backoff. Tasks waiting for a session are counted
and bounded; nobody waits in a queue that nobody sees. A pool that has been up once keeps trying
for ever, and says so in the log; one that cannot open its first session within
`connect_timeout_s` fails at once, because then the address or the password is wrong.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Never

import structlog
import trio

from chassis.backoff import Backoff
from ledger.connection import ANSWER_TIMEOUT_S, Connection, Params, Step
from ledger.errors import ConnectionLostError, PoolOverloadError
from ledger.queries import Query
from ledger.result import Result

WAITERS_MAX: Final = 256  # batches, not payments: more means that Postgres has stalled
RECONNECT_MIN_S: Final = 0.05
RECONNECT_MAX_S: Final = 2.0

_log = structlog.get_logger(__name__)


class Pool:
    """Sessions of one role on one database.

    Args:
        dsn: Where and as whom.
        size: Sessions held open; at least one.
        role_settings: Run-time parameters of each, such as `ledger.dsn.hot_settings`.
        connect_timeout_s: For one attempt to connect, and for the pool to come up at all.
        answer_timeout_s: See `Connection.open`.
        waiters_max: Tasks that may wait for a session at once.
    """

    def __init__(
        self,
        dsn: str,
        size: int,
        *,
        role_settings: Mapping[str, str] | None = None,
        connect_timeout_s: float,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        waiters_max: int = WAITERS_MAX,
    ) -> None:
        if size < 1:
            raise ValueError("a pool holds at least one session")
        self._dsn = dsn
        self._size = size
        self._role_settings = dict(role_settings or {})
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._waiters_max = waiters_max
        self._lend, self._idle = trio.open_memory_channel[Connection](size)
        self._lost: dict[Connection, trio.Event] = {}
        self.waiters_peak = 0
        self.reconnects = 0

    @property
    def size(self) -> int:
        """Sessions the pool tries to hold."""
        return self._size

    @property
    def open_count(self) -> int:
        """Sessions that stand, lent or idle."""
        return len(self._lost)

    @property
    def healthy(self) -> bool:
        """Whether at least one session stands."""
        return bool(self._lost)

    async def serve(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> Never:
        """Hold the sessions open until canceled; started once the first session stands.

        Raises:
            ConnectionLostError: When no session could be opened at first.
        """
        try:
            first = await self._open_first()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep, first)
                for _ in range(self._size - 1):
                    nursery.start_soon(self._keep, None)
                task_status.started()
                await trio.sleep_forever()
        finally:
            for connection in list(self._lost):
                self._forget(connection)
                with trio.CancelScope(shield=True):
                    await connection.aclose()
        raise AssertionError("sleep_forever returned")

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow a session for several calls.

        Raises:
            PoolOverloadError: When `waiters_max` tasks wait already.
        """
        connection = await self._borrow()
        try:
            yield connection
        finally:
            self._give_back(connection)

    async def run(self, query: Query, params: Params = ()) -> Result:
        """Borrow a session for one query; raises as `connection` and `Connection.run`."""
        connection = await self._borrow()
        try:
            return await connection.run(query, params)
        finally:
            self._give_back(connection)

    async def pipeline(self, steps: Sequence[Step]) -> list[Result]:
        """Borrow a session for one transaction; raises as `Connection.pipeline`."""
        connection = await self._borrow()
        try:
            return await connection.pipeline(steps)
        finally:
            self._give_back(connection)

    async def _borrow(self) -> Connection:
        while True:
            try:
                connection = self._idle.receive_nowait()
            except trio.WouldBlock:
                connection = await self._wait()
            if connection.check():
                return connection
            self._forget(connection)

    async def _wait(self) -> Connection:
        waiting = self._idle.statistics().tasks_waiting_receive
        if waiting >= self._waiters_max:
            raise PoolOverloadError(f"{waiting} tasks wait for a Postgres session already")
        self.waiters_peak = max(self.waiters_peak, waiting + 1)
        return await self._idle.receive()

    def _give_back(self, connection: Connection) -> None:
        if connection.closed:
            self._forget(connection)
        else:
            self._lend.send_nowait(connection)

    def _forget(self, connection: Connection) -> None:
        if (lost := self._lost.pop(connection, None)) is not None:
            lost.set()

    async def _open(self) -> Connection:
        return await Connection.open(
            self._dsn,
            role_settings=self._role_settings,
            connect_timeout_s=self._connect_timeout_s,
            answer_timeout_s=self._answer_timeout_s,
        )

    async def _open_first(self) -> Connection:
        """Allow for a server that is just starting, for `connect_timeout_s` in all."""
        backoff = Backoff(min_s=RECONNECT_MIN_S, max_s=RECONNECT_MAX_S)
        deadline = trio.current_time() + self._connect_timeout_s
        while True:
            try:
                return await self._open()
            except ConnectionLostError:
                delay_s = backoff.next_delay_s()
                if trio.current_time() + delay_s > deadline:
                    raise
            await trio.sleep(delay_s)

    async def _keep(self, connection: Connection | None) -> Never:
        backoff = Backoff(min_s=RECONNECT_MIN_S, max_s=RECONNECT_MAX_S)
        while True:
            if connection is None:
                try:
                    connection = await self._open()
                except ConnectionLostError as error:
                    delay_s = backoff.next_delay_s()
                    _log.warning("postgres_unreachable", reason=str(error), retry_in_s=delay_s)
                    await trio.sleep(delay_s)
                    continue
            opened_at = trio.current_time()
            lost = self._lost[connection] = trio.Event()
            self._lend.send_nowait(connection)
            connection = None
            await lost.wait()
            self.reconnects += 1
            _log.warning("postgres_session_lost")
            if trio.current_time() - opened_at > RECONNECT_MAX_S:
                backoff.reset()
            else:  # a server that lets us in and throws us out is not called in a tight loop
                await trio.sleep(backoff.next_delay_s())
