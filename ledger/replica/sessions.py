"""Sessions to a replica: whoever wants one gets it at once, or does without.

Theory of operation. A replica is a help and never a need. So nobody waits here: `borrow` gives an
idle session or says no. One keeper task opens what is missing, with backoff. A replica that has
failed a reader, or is too far behind, *rests*: for `replica.rest_s` nobody is given a
session, so that a sick one costs a reader's patience about once a second and not at each read.

That it is not used is said in the log once, and that it is again once it has been well for
`CALM_S`; the metrics tell the rest.
"""

from __future__ import annotations

import math
from typing import Final, Never

import trio

from chassis.backoff import Backoff
from chassis.log import get_logger
from chassis.settings.replica import Replica
from chassis.settings.tree import Ledger
from ledger.connection import Connection
from ledger.dsn import hot_settings
from ledger.errors import ConnectionLostError

CALM_S: Final = 10.0
# Of the time that an answer may take: a query that takes longer is ended where it runs, and goes on
# for nobody when its reader is gone.
STATEMENT_SHARE: Final = 0.8
# The proof of freshness needs the first. The second is for a server that was promoted.
_SESSION: Final = {
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "on",
}

_log = get_logger(__name__)


class ReplicaSessions:
    """A bounded number of sessions of one role on a replica.

    Args:
        dsn: where and as whom.
        settings: the ledger's section.
        limits: the replica's.

    Attributes:
        open_count: sessions that stand, lent or idle.
    """

    def __init__(self, dsn: str, settings: Ledger, limits: Replica) -> None:
        self._dsn = dsn
        self._settings = settings
        self._limits = limits
        self._idle: list[Connection] = []
        self.open_count = 0
        self._missing = trio.Event()
        self._rests_until_s = -math.inf
        self._ill_at_s = -math.inf  # when it last failed anybody
        self._told_ill = False
        self._was_well = False

    async def serve(self) -> Never:
        """Hold the sessions open until canceled."""
        backoff = Backoff(
            min_s=self._settings.reconnect_min_s, max_s=self._settings.reconnect_max_s
        )
        try:
            while True:
                self._missing = trio.Event()
                if self.open_count >= self._limits.sessions:
                    await self._missing.wait()
                    await trio.sleep(backoff.next_delay_s())  # one that throws us out is not hunted
                    continue
                try:
                    self._idle.append(await self._open())
                    self.open_count += 1
                    backoff.reset()
                except ConnectionLostError as error:
                    self._tell_ill(str(error))
                    await trio.sleep(backoff.next_delay_s())
        finally:
            while self._idle:
                with trio.CancelScope(shield=True):
                    await self._idle.pop().aclose()

    def borrow(self, now_s: float) -> Connection | None:
        """An idle session, or None: the replica rests, is away, or every session is lent.

        Args:
            now_s: Trio's clock.
        """
        if now_s < self._rests_until_s:
            return None
        while self._idle:
            session = self._idle.pop()
            if session.check():
                return session
            self._forget()
        return None

    def give_back(self, session: Connection) -> None:
        """Take a session back; one that is closed is replaced."""
        if session.closed:
            self._forget()
        else:
            self._idle.append(session)

    def rest(self, reason: str, now_s: float) -> None:
        """Lend nothing for a while."""
        self._rests_until_s = now_s + self._limits.rest_s
        self._ill_at_s = now_s
        self._tell_ill(reason)

    def well(self, now_s: float) -> None:
        """Take note that it has served a reader."""
        self._was_well = True
        if self._told_ill and now_s - self._ill_at_s >= CALM_S:
            self._told_ill = False
            _log.info("the replica is read again")

    def _tell_ill(self, reason: str) -> None:
        if not self._told_ill:
            self._told_ill = True
            tell = _log.warning if self._was_well else _log.info  # a first copy takes its time
            tell("the replica is not read: the primary answers instead", reason=reason)

    def _forget(self) -> None:
        self.open_count -= 1
        self._missing.set()

    async def _open(self) -> Connection:
        return await Connection.open(
            self._dsn,
            role_settings=hot_settings(self._settings) | _SESSION | self._timeout(),
            connect_timeout_s=self._limits.answer_timeout_s,
            answer_timeout_s=self._limits.answer_timeout_s,
        )

    def _timeout(self) -> dict[str, str]:
        within_ms = round(1_000 * STATEMENT_SHARE * self._limits.answer_timeout_s)
        return {
            "statement_timeout": str(max(1, min(within_ms, self._settings.statement_timeout_ms)))
        }
