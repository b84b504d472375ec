"""What is known of a stack once its sockets are bound and before its processes start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from attrs import frozen

from chassis.settings import Settings
from chassis.supervisor import Users
from ledger.roles import ADMIN
from stack.database import Database
from stack.sockets import Sockets


@frozen(kw_only=True)
class StackContext:
    """One stack on one data directory.

    Attributes:
        settings: the whole tree.
        data_dir: absolute.
        runtime_dir: the short folder of the Unix sockets.
        users: who each process is.
        sockets: every listening socket, bound.
        database: where the ledger is.
    """

    settings: Settings
    data_dir: Path
    runtime_dir: Path
    users: Users
    sockets: Sockets
    database: Database

    @property
    def api_url(self) -> str:
        """Where merchants reach the API, no slash at its end."""
        scheme = "https" if self.settings.api.tls_certificate else "http"
        return f"{scheme}://{self.sockets.http.address}"

    @property
    def hsm_sockets(self) -> list[str]:
        """The Unix socket of each HSM worker; the supervisor connects with the role `admin`."""
        return [listener.address for listener in self.sockets.hsm]

    @property
    def switch_sockets(self) -> list[str]:
        """The Unix socket of each switch, in the order of their indexes."""
        return [listener.address for listener in self.sockets.switches]

    @property
    def admin_dsn(self) -> str:
        """The database, as the role that creates merchants."""
        return self.database.dsn(ADMIN)


# Something to be done once the ledger's schema stands and the HSM answers, before the switch and
# the api start. It must be safe to repeat: every start of the stack runs it.
Provision = Callable[[StackContext], Awaitable[None]]
