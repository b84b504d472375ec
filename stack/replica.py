"""The replica of a shard's ledger: one of our own beside our own Postgres, or somebody else's.

The api reads from it (`ledger.replica`); nothing else does, and nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from chassis.settings import Settings
from chassis.shard_names import unit_key
from chassis.supervisor import Resource, StartError, Users
from ledger.dsn import with_role
from ledger.embedded import EmbeddedReplica, Primary
from ledger.roles import API, REPLICA
from stack.database import Database, postgres_folder, postgres_uid


@frozen(kw_only=True)
class Replica:
    """One replica.

    Attributes:
        dsn: where and as whom the api reads from it.
        resource: what the supervisor runs for it; None where somebody else does.
    """

    dsn: str = field(repr=False)
    resource: Resource | None


def check_replica(settings: Settings) -> None:
    """See that the replica that is asked for can be had; `settings` are the whole stack's.

    Raises:
        StartError: what contradicts it.
    """
    replica, elsewhere = settings.replica, settings.ledger.url or settings.shards.database_urls
    if replica.enabled and replica.url:
        raise StartError("replica.enabled and replica.url: there is one replica; choose")
    if replica.enabled and elsewhere:
        raise StartError(
            "replica.enabled follows our own Postgres, and the ledger is in one of yours; "
            "run a streaming standby of it and name it as replica.url"
        )
    if replica.url and settings.shards.count > 1:
        raise StartError(
            f"replica.url names one server, and there are {settings.shards.count} shards; "
            "with several, replicas are ours (replica.enabled)"
        )


def make_replica(
    settings: Settings,
    *,
    number: int,
    data_dir: Path,
    runtime_dir: Path,
    users: Users,
    database: Database,
    passwords: Mapping[str, str],
) -> Replica | None:
    """The replica of one shard, if it is to have one.

    Args:
        settings: the shard's.
        number: the shard's.
        data_dir: the shard's data directory.
        runtime_dir: the short folder of the sockets.
        users: who Postgres runs as.
        database: the shard's ledger, which is followed.
        passwords: by role; a replica has its primary's.
    """
    if settings.replica.url:
        return Replica(dsn=with_role(settings.replica.url, API, passwords[API]), resource=None)
    if not settings.replica.enabled:
        return None
    replica = EmbeddedReplica(
        data_dir=data_dir,
        socket_dir=runtime_dir / unit_key("pg-replica", number),
        settings=settings.ledger,
        primary=Primary(
            socket_dir=postgres_folder(runtime_dir, number),
            superuser_dsn=database.superuser_dsn,
            password=passwords[REPLICA],
        ),
        uid=postgres_uid(settings, users),
    )
    return Replica(dsn=replica.dsn(API, passwords[API]), resource=replica)
