"""A physical backup of our own Postgres, taken while it runs, and what it takes to trust it.

Theory of operation
-------------------
`pg_basebackup` copies the data folder over a replication session and streams the WAL that was
written meanwhile, so the copy holds everything that was committed before it ended: its *end*, an
LSN. Postgres lists each file with its SHA-256 in `backup_manifest`. Beside the copy lie the
superuser's password, without which nobody gets in, and `turnout-backup.json`: which cluster, how
far, and the digests of those two files. That document has a digest of its own.

    DIR/                      0700: a backup is as secret as the ledger
        postgres/             what pg_basebackup wrote, with backup_manifest
        postgres.password
        turnout-backup.json   written last: a backup without it did not come to its end
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from chassis.durable import sync_folder, write_durably
from ledger.embedded.binaries import Binaries
from ledger.embedded.cluster import MINIMAL_ENVIRONMENT, SUPERUSER, explain
from ledger.errors import LedgerError

FORMAT: Final = 1
DOCUMENT: Final = "turnout-backup.json"
COPY: Final = "postgres"
PASSWORD: Final = "postgres.password"  # noqa: S105  the name of a file
MANIFEST: Final = "backup_manifest"


class BackupError(LedgerError):
    """A backup cannot be made, or cannot be trusted; says why."""


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """What `turnout-backup.json` says.

    Attributes:
        format: of the folder; this release writes and reads 1.
        postgres: the version that wrote it.
        system_identifier: of the cluster.
        timeline: of its WAL.
        start_lsn: where recovery begins.
        end_lsn: everything committed before is in the backup, and nothing committed after.
        began_at: by the clock of this machine.
        ended_at: likewise.
        files: SHA-256 by path, of what Postgres' own manifest does not cover.
        stack: what else stood where when it began: stream, audit log.
    """

    format: int = FORMAT
    postgres: str
    system_identifier: str
    timeline: int
    start_lsn: str
    end_lsn: str
    began_at: datetime
    ended_at: datetime
    files: dict[str, str]
    stack: dict[str, Any] = {}


class _WALRange(msgspec.Struct, rename={"timeline": "Timeline", "start": "Start-LSN"}):
    timeline: int
    start: str
    end: str = msgspec.field(name="End-LSN")


class _Manifest(msgspec.Struct):
    ranges: list[_WALRange] = msgspec.field(name="WAL-Ranges")
    system_identifier: int = msgspec.field(name="System-Identifier")


class _Sealed(msgspec.Struct):
    backup: msgspec.Raw
    sha256: str


async def copy_cluster(binaries: Binaries, *, socket_dir: Path, password: str, to: Path) -> Backup:
    """Copy a running cluster into a new folder; `seal` makes a backup of it.

    Args:
        binaries: with `pg_basebackup` beside `postgres`.
        socket_dir: of the server.
        password: the superuser's.
        to: the folder; must be empty, or not there. The folder that it is in must be there: a
            disk that is not mounted would have its backups beside the ledger.

    Raises:
        BackupError: the folder is not empty, has no place, or Postgres refuses. Nothing is left of
            the copy.
        OSError: it cannot be written. Likewise.
    """
    _make_folder(to)
    began_at = datetime.now(UTC)
    command: list[str | Path] = [
        binaries.folder / "pg_basebackup",
        f"--host={socket_dir}",
        "--port=5432",
        f"--username={SUPERUSER}",
        "--no-password",
        f"--pgdata={to / COPY}",
        "--wal-method=stream",
        "--checkpoint=fast",
        "--manifest-checksums=SHA256",
        "--label=turnout ledger backup",
    ]
    with _kept_if_whole(to):
        await run_program(command, {"PGPASSWORD": password})
        write_durably(to / PASSWORD, password.encode(), mode=0o600)
        manifest = _read_manifest(to / COPY / MANIFEST)
        [wal] = manifest.ranges  # several only where the server changed its timeline meanwhile
        return Backup(
            postgres=binaries.version,
            system_identifier=str(manifest.system_identifier),
            timeline=wal.timeline,
            start_lsn=wal.start,
            end_lsn=wal.end,
            began_at=began_at,
            ended_at=datetime.now(UTC),
            files={name: _digest(to / name) for name in (f"{COPY}/{MANIFEST}", PASSWORD)},
        )


@contextlib.contextmanager
def _kept_if_whole(folder: Path) -> Iterator[None]:
    """Empty a folder where the block fails: what is left of a copy is of no use, and in the way."""
    try:
        yield
    except BaseException:  # Ctrl-C, too
        for name in (DOCUMENT, PASSWORD):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        shutil.rmtree(folder / COPY, ignore_errors=True)
        raise


def _make_folder(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise BackupError(f"{folder.parent} is not there; is its disk mounted?")
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    if any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty; choose another folder")


def seal(folder: Path, backup: Backup) -> None:
    """Write the document, durably: from now on the folder is a backup.

    Raises:
        OSError: it cannot be written; nothing is left of the copy.
    """
    body = msgspec.json.encode(backup)
    sealed = _Sealed(msgspec.Raw(body), sha256(body).hexdigest())
    with _kept_if_whole(folder):
        write_durably(folder / DOCUMENT, msgspec.json.encode(sealed) + b"\n", mode=0o600)
    sync_folder(folder.parent)


def read_backup(folder: Path) -> Backup:
    """Read a backup's document, and hold it and the files that it covers to their digests.

    Raises:
        BackupError: it is none, or was changed.
    """
    path = folder / DOCUMENT
    try:
        sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
        if sha256(sealed.backup).hexdigest() != sealed.sha256:
            raise BackupError(f"{path} was changed: its digest is another")
        backup = msgspec.json.decode(sealed.backup, type=Backup)
        if backup.format != FORMAT:
            raise BackupError(f"{path} has format {backup.format}; this release reads {FORMAT}")
        for name, digest in backup.files.items():
            if _digest(folder / name) != digest:
                raise BackupError(f"{folder / name} was changed: its digest is another")
    except FileNotFoundError as error:
        raise BackupError(f"{folder} is no whole backup: {error.filename} is missing") from None
    except OSError as error:
        raise BackupError(f"{error.filename} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise BackupError(f"{path} is no backup's document: {error}") from None
    return backup


async def verify_copy(binaries: Binaries, copy: Path) -> None:
    """Hold every file of a cluster's copy to Postgres' manifest, and see that its WAL is whole.

    Raises:
        BackupError: with what `pg_verifybackup` found.
    """
    await run_program([binaries.folder / "pg_verifybackup", "--quiet", copy], {})


async def copy_tree(source: Path, target: Path) -> None:
    """Copy a cluster's files, durably; a copy that does not come to its end is removed.

    Raises:
        OSError: no room, say.
    """
    try:
        await trio.to_thread.run_sync(_copy_tree, source, target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _copy_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True)
    for folder, _, names in os.walk(target):
        for name in names:
            descriptor = os.open(Path(folder, name), os.O_RDONLY | os.O_NOFOLLOW)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(folder))


async def run_program(command: list[str | Path], environment: dict[str, str]) -> None:
    """Run one of Postgres' programs to its end.

    Args:
        command: the program, by its path, and its arguments; no secrets.
        environment: besides the minimal one; secrets go here.

    Raises:
        BackupError: it cannot be run, or failed; with what it said.
    """
    try:
        done = await trio.run_process(
            command,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={**MINIMAL_ENVIRONMENT, **environment},
            cwd="/",
        )
    except OSError as error:
        raise BackupError(f"cannot run {command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        name = Path(command[0]).name
        raise BackupError(f"{name} failed: {explain(done.stderr or done.stdout)}")


def _read_manifest(path: Path) -> _Manifest:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Manifest)
    except msgspec.DecodeError as error:
        raise BackupError(f"{path} is no manifest: {error}") from None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = sha256()
        while part := file.read(1_048_576):
            digest.update(part)
        return digest.hexdigest()
