"""The ledger's database as a part of the stack: our own Postgres, or one that is elsewhere.

Each process logs in with a role and a password of its own. The passwords are drawn at the first
start and kept in `<data-dir>/database-passwords.json`, which only the supervisor can read; every
start sets them again, so a database that was restored from a backup follows.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from chassis.durable import write_durably
from chassis.log import get_logger
from chassis.settings import Settings
from chassis.shard_names import unit_key
from chassis.supervisor import Resource, StartError, Users
from ledger.dsn import with_role
from ledger.embedded import EmbeddedPostgres
from ledger.migrate import migrate
from ledger.roles import OWNER, ROLES, ensure_roles
from stack.endpoints import Endpoints

PASSWORDS_FILE: Final = "database-passwords.json"
PASSWORD_BYTES: Final = 24  # of randomness; SCRAM makes guessing slow besides

_log = get_logger(__name__)


class Database(Protocol):
    """Where the ledger is, and who may log in."""

    @property
    def passwords(self) -> Mapping[str, str]:
        """By role."""

    def superuser_dsn(self) -> str:
        """As whom roles are made; known once the server runs."""

    def dsn(self, role: str) -> str:
        """As one of `ledger.roles.ROLES`."""


class EmbeddedDatabase:
    """Our own Postgres, and the resource that the supervisor runs.

    Args:
        settings: the shard's.
        data_dir: the shard's data directory.
        socket_dir: the short folder of its socket.
        users: who Postgres runs as.
        passwords: by role.
    """

    def __init__(
        self,
        settings: Settings,
        data_dir: Path,
        socket_dir: Path,
        users: Users,
        passwords: Mapping[str, str],
    ) -> None:
        self.passwords = passwords
        self._postgres = EmbeddedPostgres(
            data_dir=data_dir,
            socket_dir=socket_dir,
            settings=settings.ledger,
            uid=postgres_uid(settings, users),
            has_replica=settings.replica.enabled,
        )

    def superuser_dsn(self) -> str:
        """As Postgres' own superuser; known once the server runs."""
        return self._postgres.superuser_dsn()

    def dsn(self, role: str) -> str:
        """As one of the ledger's roles."""
        return self._postgres.dsn(role, self.passwords[role])

    @property
    def process_id(self) -> int | None:
        """Of the postmaster while it runs."""
        return self._postgres.process_id

    async def start(self) -> None:
        """Start the server; may recover from a crash first."""
        await self._postgres.start()

    async def died(self) -> str:
        """Wait for its end."""
        status = await self._postgres.died()
        return f"exit status {status}" if status >= 0 else f"signal {-status}"

    async def stop(self) -> None:
        """Stop it in an orderly way."""
        await self._postgres.stop()

    def kill(self) -> None:
        """Stop it at once (SIGQUIT): what was committed is in the WAL, and recovered from it."""
        if (process_id := self._postgres.process_id) is not None:
            os.kill(process_id, signal.SIGQUIT)


class ExternalDatabase:
    """A server that somebody else runs, reached by `ledger.url`.

    Args:
        url: of a role that may create roles, on the ledger's database.
        passwords: by role.
    """

    def __init__(self, url: str, passwords: Mapping[str, str]) -> None:
        self._url = url
        self.passwords = passwords

    def superuser_dsn(self) -> str:
        """The DSN that was given."""
        return self._url

    def dsn(self, role: str) -> str:
        """As one of the ledger's roles."""
        return with_role(self._url, role, self.passwords[role])


def postgres_folder(runtime_dir: Path, shard: int) -> Path:
    """Where our own Postgres of a shard has its socket."""
    return runtime_dir / unit_key("pg", shard)


def postgres_uid(settings: Settings, users: Users) -> int | None:
    """Who Postgres runs as; it refuses to be root, so root always gives it a uid of its own."""
    if users.separated:
        return users.uid("postgres")
    return settings.supervisor.uid_base if os.geteuid() == 0 else None


def make_database(
    settings: Settings,
    data_dir: Path,
    socket_dir: Path,
    users: Users,
    passwords: Mapping[str, str],
) -> tuple[Database, Resource | None]:
    """A ledger's database, and what the supervisor must run for it, if anything.

    Args:
        settings: the shard's.
        data_dir: the shard's data directory.
        socket_dir: the short folder for the socket of our own Postgres.
        users: who Postgres runs as.
        passwords: by role.
    """
    if settings.ledger.url:
        return ExternalDatabase(settings.ledger.url, passwords), None
    embedded = EmbeddedDatabase(settings, data_dir, socket_dir, users, passwords)
    return embedded, embedded


def load_passwords(data_dir: Path) -> dict[str, str]:
    """The password of each role; drawn and kept where there is none yet.

    Raises:
        StartError: the file cannot be read or written.
    """
    path = data_dir / PASSWORDS_FILE
    known = _read_passwords(path)
    passwords = {role: known.get(role) or secrets.token_urlsafe(PASSWORD_BYTES) for role in ROLES}
    if passwords != known:
        _write_passwords(path, passwords)
    return passwords


def keep_passwords(data_dir: Path, passwords: Mapping[str, str]) -> None:
    """Keep the stack's passwords beside another shard's ledger, which has no others.

    Roles belong to a server, and two shards may be two databases of one.

    Raises:
        StartError: the file cannot be read or written.
    """
    path = data_dir / PASSWORDS_FILE
    if _read_passwords(path) != passwords:
        _write_passwords(path, passwords)


def _read_passwords(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except PermissionError:
        raise StartError(
            f"{path} is not yours to read; run this as the user who started the stack, or as root"
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise StartError(f"{path} cannot be read ({type(error).__name__}); restore it") from None


def _write_passwords(path: Path, passwords: Mapping[str, str]) -> None:
    try:
        write_durably(path, msgspec.json.encode(passwords))
    except OSError as error:
        raise StartError(f"{path} cannot be written: {error.strerror}") from error


def dsn_of_running(settings: Settings, data_dir: Path, endpoints: Endpoints, role: str) -> str:
    """Address the ledger of a stack that runs, from another program of its operator's.

    Args:
        settings: as the shard has them; only `ledger` matters.
        data_dir: the shard's data directory.
        endpoints: those that are published there, see `stack.endpoints.read_endpoints`.
        role: one of `ledger.roles.ROLES`.

    Raises:
        StartError: the passwords cannot be read by this user, or the settings do not say where
            the ledger is.
    """
    password = load_passwords(data_dir)[role]
    if settings.ledger.url:
        return with_role(settings.ledger.url, role, password)
    if not endpoints.sockets["postgres"]:
        raise StartError(
            "the stack's Postgres is elsewhere: set ledger.url (or shards.database_urls) here, too"
        )
    socket_dir = Path(endpoints.sockets["postgres"][0])
    postgres = EmbeddedPostgres(data_dir=data_dir, socket_dir=socket_dir, settings=settings.ledger)
    return postgres.dsn(role, password)


async def prepare_schema(database: Database, *, has_replica: bool) -> None:
    """Make the roles and bring the schema up to this release; safe to repeat.

    Args:
        database: the shard's.
        has_replica: whether a replica of ours follows it, for which somebody must log in.

    Raises:
        LedgerError: the server refuses, or the schema is not one of ours.
    """
    await ensure_roles(database.superuser_dsn(), database.passwords, has_replica=has_replica)
    await migrate(database.dsn(OWNER), log=_log)
