"""A fixed number of Postgres sessions, lent out in the order in which they are asked for.

One keeper task per session opens it and opens another when it is lost, with backoff. The session
given back last is lent first: where one is enough, one does the work, and its backend finds its
plans and pages in the processor's caches. Who finds none idle is handed one through a memory
channel without a buffer, first come, first served. Tasks waiting for a session are counted and
bounded; nobody waits in a queue that nobody sees. A pool that has been up once keeps trying
for ever, and says so in the log; one that cannot open its first session within
`connect_timeout_s` fails at once, because then the address or the password is wrong. A patient one
tries on all the same: it is for a server that is one of several.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Never

import trio

from chassis.backoff import Backoff
from chassis.log import get_logger
from chassis.settings.tree import Ledger
from ledger.connection import Connection, Params, Step
from ledger.dsn import hot_settings
from ledger.errors import ConnectionLostError, PoolOverloadError
from ledger.queries import Query
from ledger.result import Result

_log = get_logger(__name__)


class Pool:
    """Sessions of one role on one database; opened by `serve`, once.

    Args:
        dsn: Where and as whom.
        size: Sessions held open; at least one.
        settings: Time-outs, backoff and the bound on waiting tasks.
        role_settings: Run-time parameters of each session; `hot_settings(settings)` unless given.
        patient: Start also while the server is away.

    Attributes:
        waiters_peak: The most tasks that ever waited at once.
        reconnects: Sessions lost and replaced so far.
    """

    def __init__(
        self,
        dsn: str,
        size: int,
        *,
        settings: Ledger,
        role_settings: Mapping[str, str] | None = None,
        patient: bool = False,
    ) -> None:
        if size < 1:
            raise ValueError("a pool holds at least one session")
        self._dsn = dsn
        self._size = size
        self._settings = settings
        self._role_settings = hot_settings(settings) if role_settings is None else role_settings
        self._patient = patient
        self._idle: list[Connection] = []
        self._hand_over, self._handed = trio.open_memory_channel[Connection](0)
        self._lost: dict[Connection, trio.Event] = {}  # every session that stands
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

    def check(self) -> bool:
        """Look at the idle sessions, replace those that the server ended; True if one stands.

        Takes about a microsecond a session and waits for nothing. Borrowed ones are their
        borrowers' to judge.
        """
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.check()
            self._give_back(connection)
        return bool(self._lost)

    async def serve(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> Never:
        """Hold the sessions open until canceled; started once the first session stands.

        A patient pool has started at once.

        Raises:
            ConnectionLostError: When no session could be opened at first.
        """
        try:
            first = None if self._patient else await self._open_first()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep, first)
                for _ in range(self._size - 1):
                    nursery.start_soon(self._keep, None)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._hand_over.close()  # wakes whoever waits
            self._idle.clear()
            for connection in list(self._lost):
                self._forget(connection)
                with trio.CancelScope(shield=True):
                    await connection.aclose()
        raise AssertionError("sleep_forever returned")

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow a session for several calls.

        Raises:
            PoolOverloadError: When `pool_waiters_max` tasks wait already.
            ConnectionLostError: When the pool has ended.
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
            connection = self._idle.pop() if self._idle else await self._wait()
            if connection.check():
                return connection
            self._forget(connection)

    async def _wait(self) -> Connection:
        waiting = self._handed.statistics().tasks_waiting_receive
        if waiting >= self._settings.pool_waiters_max:
            raise PoolOverloadError(f"{waiting} tasks wait for a Postgres session already")
        self.waiters_peak = max(self.waiters_peak, waiting + 1)
        try:
            return await self._handed.receive()
        except trio.EndOfChannel:
            raise ConnectionLostError("the pool has ended") from None

    def _give_back(self, connection: Connection) -> None:
        if connection.closed:
            self._forget(connection)
            return
        try:
            self._hand_over.send_nowait(connection)
        except trio.WouldBlock:  # nobody waits
            self._idle.append(connection)
        except trio.ClosedResourceError:  # the pool has ended meanwhile, and closes all it opened
            return

    def _forget(self, connection: Connection) -> None:
        if (lost := self._lost.pop(connection, None)) is not None:
            lost.set()

    async def _open(self) -> Connection:
        return await Connection.open(
            self._dsn,
            role_settings=self._role_settings,
            connect_timeout_s=self._settings.connect_timeout_s,
            answer_timeout_s=self._settings.answer_timeout_s,
        )

    async def _open_first(self) -> Connection:
        """Allow for a server that is just starting, for `connect_timeout_s` in all."""
        backoff = self._backoff()
        deadline = trio.current_time() + self._settings.connect_timeout_s
        while True:
            try:
                return await self._open()
            except ConnectionLostError:
                delay_s = backoff.next_delay_s()
                if trio.current_time() + delay_s > deadline:
                    raise
            await trio.sleep(delay_s)

    def _backoff(self) -> Backoff:
        return Backoff(min_s=self._settings.reconnect_min_s, max_s=self._settings.reconnect_max_s)

    async def _keep(self, connection: Connection | None) -> Never:
        backoff = self._backoff()
        while True:
            if connection is None:
                try:
                    connection = await self._open()
                except ConnectionLostError as error:
                    delay_s = backoff.next_delay_s()
                    _log.warning(
                        "Postgres cannot be reached", reason=str(error), retry_in_s=delay_s
                    )
                    await trio.sleep(delay_s)
                    continue
            opened_at = trio.current_time()
            lost = self._lost[connection] = trio.Event()
            self._give_back(connection)
            connection = None
            await lost.wait()
            self.reconnects += 1
            _log.warning("Postgres session lost")
            if trio.current_time() - opened_at > self._settings.reconnect_max_s:
                backoff.reset()
            else:  # a server that lets us in and throws us out is not called in a tight loop
                await trio.sleep(backoff.next_delay_s())
