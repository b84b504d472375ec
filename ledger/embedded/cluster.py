"""The data folder of our Postgres: made once by initdb, checked at every start.

`<data_dir>/postgres/` belongs to the server's user (0700) and holds `data/`. The log
(`postgres.log`) and the superuser's password (`postgres.password`, 0600) stay outside and ours;
the password is never on a command line. initdb writes to `data.new`, renamed to `data` when
complete: a data folder that exists is whole.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import Final

import attrs
import trio

from chassis.durable import write_durably
from ledger.embedded.binaries import Binaries
from ledger.embedded.identity import Identity
from ledger.errors import EmbeddedPostgresError

SUPERUSER: Final = "postgres"
MINIMAL_ENVIRONMENT: Final = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

# What a cluster is born with. Error reports are terse because DETAIL quotes rows, and statements
# are never logged with them.
CLUSTER_SETTINGS: Final = {
    "wal_level": "logical",
    "max_replication_slots": "8",
    "max_wal_senders": "8",
    "listen_addresses": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}


@attrs.frozen
class Layout:
    """Where things lie below one data folder.

    Attributes:
        data_dir: The product's.
        name: The server's, of which there may be two: `postgres`, and its `replica`.
        data_name: Of the folder in `home`; another one while a ledger is restored.
    """

    data_dir: Path
    name: str = "postgres"
    data_name: str = "data"

    @property
    def home(self) -> Path:
        """The folder that belongs to the server's user."""
        return self.data_dir / self.name

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.home / self.data_name

    @property
    def restoring(self) -> Path:
        """What becomes of a backup, until it is a ledger."""
        return self.home / "data.restoring"

    @property
    def log(self) -> Path:
        """What the server writes to stderr; ours, so that no link of its user misleads us."""
        return self.data_dir / f"{self.name}.log"

    @property
    def lock(self) -> Path:
        """Held by the process that runs the server."""
        return self.data_dir / f"{self.name}.lock"

    @property
    def password(self) -> Path:
        """The superuser's password, of a server and its replica alike."""
        return self.data_dir / "postgres.password"

    @property
    def binaries(self) -> Path:
        """Copies of Postgres, one folder a version."""
        return self.data_dir / "postgres-bin"


async def ensure_cluster(layout: Layout, binaries: Binaries, identity: Identity) -> str:
    """Make the data folder if it is missing; returns the superuser's password.

    Raises:
        EmbeddedPostgresError: When it cannot be made, is of another major version, or its
            password file is lost; or when a restore died here, which nobody wants to find an
            empty ledger after.
    """
    check_reach(layout, identity)
    if layout.data.exists():
        _check_version(layout.data, binaries)
        return _read_password(layout.password)
    if layout.restoring.exists():
        raise EmbeddedPostgresError(
            f"a restore has left {layout.restoring} and did not come to its end; "
            "run `turnout ledger restore` again, or remove that folder and "
            f"{layout.password.name}, which makes an empty ledger"
        )
    password = _create_password(layout.password)
    try:
        await _initialize(layout, binaries, identity, password)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"cannot set up {layout.home}: {error.strerror} ({error.filename})"
        ) from None
    return password


def check_reach(layout: Layout, identity: Identity) -> None:
    """See that the server can enter the data folder; raises EmbeddedPostgresError."""
    if (blocked := identity.blocked_at(layout.data_dir)) is not None:
        raise EmbeddedPostgresError(
            f"uid {identity.uid}, which runs Postgres, cannot enter {blocked}; choose a data "
            "folder outside it (--data-dir, for example /var/lib/turnout) or open it (chmod o+x)"
        )


async def _initialize(
    layout: Layout, binaries: Binaries, identity: Identity, password: str
) -> None:
    maker = identity.for_initdb()
    layout.home.mkdir(mode=0o700, exist_ok=True)
    if identity.switched:  # ours while initdb runs; its group may pass through, nobody else
        os.chown(layout.home, 0, identity.gid)
        layout.home.chmod(0o710)
    fresh = layout.home / "data.new"
    password_copy = layout.home / "password.new"
    shutil.rmtree(fresh, ignore_errors=True)  # of a start that did not end
    password_copy.unlink(missing_ok=True)
    fresh.mkdir(mode=0o700)
    maker.take(fresh)
    try:
        write_durably(password_copy, password.encode())
        maker.take(password_copy)
        await _run_initdb(binaries, fresh, password_copy, maker)
    finally:
        password_copy.unlink(missing_ok=True)
    await trio.to_thread.run_sync(identity.take_tree, fresh)
    fresh.rename(layout.data)
    identity.take(layout.home)
    layout.home.chmod(0o700)


async def _run_initdb(binaries: Binaries, data: Path, password_file: Path, maker: Identity) -> None:
    command: list[str] = [
        str(binaries.folder / "initdb"),
        f"--pgdata={data}",
        f"--username={SUPERUSER}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--locale=C.UTF-8",
        "--data-checksums",
    ]
    for name, value in CLUSTER_SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    done = await trio.run_process(
        command,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env=MINIMAL_ENVIRONMENT,
        cwd="/",
        **maker.process_options(),
    )
    if done.returncode != 0:
        raise EmbeddedPostgresError(f"initdb failed: {explain(done.stderr)}")


def explain(output: bytes) -> str:
    """Pick from a server program's output what tells an operator what to do."""
    text = output.decode(errors="replace")
    if "No space left on device" in text:
        return "no space left on the device of the data folder; free some and start again"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "error" in line]
    return "; ".join((telling or lines)[-3:]) or "it said nothing"


def _check_version(data: Path, binaries: Binaries) -> None:
    try:
        found = (data / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise EmbeddedPostgresError(
            f"{data} is not a Postgres data folder: PG_VERSION: {error.strerror}"
        ) from None
    if found != str(binaries.major):
        raise EmbeddedPostgresError(
            f"{data} belongs to Postgres {found}, the installed one is {binaries.version}; "
            f"set ledger.bindir to a Postgres {found}, or move the data with pg_upgrade"
        )


def _create_password(path: Path) -> str:
    """Make the password file before the cluster that will know it."""
    if path.exists():
        return _read_password(path)
    password = secrets.token_urlsafe(32)
    try:
        write_durably(path, password.encode())
    except OSError as error:
        raise EmbeddedPostgresError(f"cannot write {path}: {error.strerror}") from None
    return password


def _read_password(path: Path) -> str:
    try:
        password = path.read_text().strip()
    except OSError as error:
        raise EmbeddedPostgresError(
            f"the superuser's password is needed from {path}: {error.strerror}; restore the file"
        ) from None
    if not password:
        raise EmbeddedPostgresError(f"{path} is empty; restore the file")
    return password
