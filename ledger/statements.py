"""The ledger's named queries, loaded once, and what it takes to run them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from ledger.connection import Params, Step
from ledger.queries import Query, load_queries
from ledger.result import Result

QUERIES: Final = load_queries("ledger.sql.queries")


class Runner(Protocol):
    """A `Connection` or a `Pool`: both run queries, and several as one transaction."""

    async def run(self, query: Query, params: Params = ()) -> Result:
        """Run one query as a transaction of its own."""

    async def pipeline(self, steps: Sequence[Step]) -> list[Result]:
        """Run several queries in one round trip and one transaction."""


def without_skipping(query: Query) -> Query:
    """The same statement with its locks waiting instead of skipping: the slow lane's form.

    Raises:
        ValueError: the statement skips no locked rows, so there is nothing to switch.
    """
    if query.sql.count("SKIP LOCKED") != 1:
        raise ValueError(f"{query.name} has no single lock clause to switch")
    return Query(f"{query.name}_waiting", query.sql.replace("SKIP LOCKED", ""), query.description)


def without_locks(query: Query) -> Query:
    """The same statement for whoever only looks: without the lock clause it ends in.

    Raises:
        ValueError: the statement does not end in a lock clause.
    """
    text, clause, rest = query.sql.rpartition("\nFOR ")
    if not clause or "\n" in rest:
        raise ValueError(f"{query.name} does not end in a lock clause")
    return Query(f"{query.name}_unlocked", text, query.description)
