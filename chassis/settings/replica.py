"""A second Postgres to read from; a section of `chassis.settings.tree`."""

from __future__ import annotations

from chassis.settings.section import Section


class Replica(Section, frozen=True):
    """Where payments are read, so that reading takes nothing from those who pay."""

    enabled: bool = False  # one of our own, on this machine, behind our own Postgres
    url: str = ""  # or one that somebody else runs: a streaming standby of the ledger's server
    sessions: int = 5  # of the api, per shard: one for each of its reading tasks
    # Within this a replica has caught up, or the primary is asked: a few commits' time.
    wait_ms: float = 50.0
    answer_timeout_s: float = 1.0  # then its session is closed, and the primary is asked
    rest_s: float = 1.0  # for so long nothing more is asked of one that failed or is behind
