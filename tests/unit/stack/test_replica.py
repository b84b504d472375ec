"""Which replica a stack has, and what contradicts one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from chassis.settings import Settings, Shards
from chassis.settings.replica import Replica
from chassis.supervisor import StartError, assign_users
from ledger.embedded import EmbeddedReplica
from ledger.roles import ROLES as DATABASE_ROLES
from stack.database import ExternalDatabase
from stack.layout import ROLES
from stack.replica import Replica as Made
from stack.replica import check_replica, make_replica

PASSWORDS = {role: f"password-of-{role}" for role in DATABASE_ROLES}
OURS = msgspec.structs.replace(Settings(), replica=Replica(enabled=True))
THEIRS = msgspec.structs.replace(
    Settings(), replica=Replica(url="postgresql://reader:hunter2@standby.example/turnout")
)


def _make(settings: Settings, number: int = 0) -> Made | None:
    return make_replica(
        settings,
        number=number,
        data_dir=Path("/srv/turnout"),
        runtime_dir=Path("/run/t"),
        users=assign_users(settings.supervisor, ROLES, euid=0),
        database=ExternalDatabase("", PASSWORDS),
        passwords=PASSWORDS,
    )


def test_unless_it_is_asked_for_there_is_none() -> None:
    """A ledger is read where it is written."""
    assert _make(Settings()) is None
    check_replica(Settings())


def test_somebody_elses_is_read_by_the_apis_own_role() -> None:
    """The address is theirs, user and password are the ledger's, and nothing is run for it."""
    check_replica(THEIRS)
    made = _make(THEIRS)
    assert made is not None
    assert made.resource is None
    assert made.dsn == (
        "user=turnout_api password=password-of-turnout_api dbname=turnout host=standby.example"
    )
    assert "password" not in repr(made)


def test_ours_is_beside_each_shards_ledger() -> None:
    """A server that the supervisor runs, on a socket of its own."""
    check_replica(OURS)
    made, other = _make(OURS), _make(OURS, 1)
    assert made is not None
    assert other is not None
    assert isinstance(made.resource, EmbeddedReplica)
    assert "/run/t/pg-replica " in made.dsn
    assert "/run/t/pg-replica@1 " in other.dsn
    assert "user=turnout_api" in made.dsn


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (msgspec.structs.replace(OURS, replica=Replica(enabled=True, url="host=x")), "choose"),
        (
            msgspec.structs.replace(
                OURS, ledger=msgspec.structs.replace(OURS.ledger, url="host=x")
            ),
            "name it as replica.url",
        ),
        (
            msgspec.structs.replace(OURS, shards=Shards(database_urls=("host=x",))),
            "name it as replica.url",
        ),
        (msgspec.structs.replace(THEIRS, shards=Shards(count=2)), "names one server"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(settings: Settings, words: str) -> None:
    """Two replicas of one ledger, one of ours behind a server of theirs, one for two ledgers."""
    with pytest.raises(StartError, match=words):
        check_replica(settings)
