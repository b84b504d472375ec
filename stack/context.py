"""What is known of a stack once its sockets are bound and before its processes start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from attrs import frozen

from chassis.settings import Settings
from chassis.shard_names import unit_key
from chassis.supervisor import Listener, Resource, Users
from ledger.roles import ADMIN
from stack.database import Database
from stack.replica import Replica
from stack.sockets import Sockets


@frozen(kw_only=True)
class ShardContext:
    """One ledger, and what works on it alone.

    Attributes:
        number: from 0 on.
        settings: what its processes may be told; see `chassis.settings.settings_of_shard`.
        data_dir: absolute; the stack's for shard 0.
        switches: the Unix socket of each of its switches, in the order of their indexes.
        database: where the ledger is.
        resource: our own Postgres, if the ledger is in it.
        replica: where the ledger is read besides, if anywhere.
    """

    number: int
    settings: Settings
    data_dir: Path
    switches: list[Listener]
    database: Database
    resource: Resource | None
    replica: Replica | None = None

    def key(self, name: str) -> str:
        """The key of one of its units."""
        return unit_key(name, self.number)

    @property
    def switch_sockets(self) -> list[str]:
        """The path of each switch's socket."""
        return [listener.address for listener in self.switches]

    @property
    def admin_dsn(self) -> str:
        """The database, as the role that creates merchants."""
        return self.database.dsn(ADMIN)


@frozen(kw_only=True)
class StackContext:
    """One stack on one data directory.

    Attributes:
        settings: the whole tree.
        data_dir: absolute.
        runtime_dir: the short folder of the Unix sockets.
        users: who each process is.
        sockets: every listening socket, bound.
        shards: every ledger and what belongs to it, in the order of their numbers.
    """

    settings: Settings
    data_dir: Path
    runtime_dir: Path
    users: Users
    sockets: Sockets
    shards: list[ShardContext]

    @property
    def api_url(self) -> str:
        """Where merchants reach the API, no slash at its end."""
        scheme = "https" if self.settings.api.tls_certificate else "http"
        return f"{scheme}://{self.sockets.http.address}"

    @property
    def shop_url(self) -> str | None:
        """Where the demo shop is, no slash at its end; None where there is none."""
        return None if self.sockets.shop is None else f"http://{self.sockets.shop.address}"

    @property
    def hsm_sockets(self) -> list[str]:
        """The Unix socket of each HSM worker; the supervisor connects with the role `admin`."""
        return [listener.address for listener in self.sockets.hsm]

    @property
    def admin_dsn(self) -> str:
        """The database of shard 0, which knows every merchant, as the role that creates them."""
        return self.shards[0].admin_dsn


# Something to be done once the ledger's schema stands and the HSM answers, before the switch and
# the api start. It must be safe to repeat: every start of the stack runs it.
Provision = Callable[[StackContext], Awaitable[None]]
