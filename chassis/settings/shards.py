"""Over how many ledgers the merchants are spread; a section of `chassis.settings.tree`."""

from __future__ import annotations

from chassis.settings.section import Section

SHARDS_MAX = 64  # each is a Postgres and five processes; an intent's id has room for 256


class Shards(Section, frozen=True):
    """How many shards there are, and where their Postgres is if it is not ours."""

    count: int = 1  # a data directory keeps those it has: it may be raised, never lowered
    # One for each shard, instead of `ledger.url`; empty = our own Postgres for each.
    database_urls: tuple[str, ...] = ()
