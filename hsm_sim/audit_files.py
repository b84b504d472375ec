"""The files of the HSM's audit log: one that grows, and those before it, which are finished.

Theory of operation
-------------------
`audit.log` is written to. When it has reached its bound it becomes `audit-<sequence of its last
line>.log`, and a new `audit.log` begins with a line that names it and its SHA-256. That line is
chained to the last one of the file before, as any other: so the chain goes through all files, and
a file that is changed, exchanged or missing shows twice.

*A death on the way.* The new file is written and synced under another name first. Then the old one
gets its second name (link(2)), and only then the new one takes the first (rename(2)). Whatever dies
when, `audit.log` is there and whole: either still the old file, which is then continued again under
the same name, or the new one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from errno import EEXIST
from hashlib import sha256
from pathlib import Path
from typing import Final

from chassis.durable import sync_folder

SUFFIX: Final = ".log"
SEQUENCE_DIGITS: Final = 15  # not so many that it would be masked as a card number
_READ_BYTES: Final = 1_048_576


def finished_name(path: Path, sequence: int) -> str:
    """What a file is called once it is finished; `sequence` is its last line's."""
    return f"{path.stem}-{sequence:0{SEQUENCE_DIGITS}}{SUFFIX}"


def log_files(path: Path) -> list[Path]:
    """Every file of a log, oldest first; the one that is written to stands last."""
    finished = sorted(path.parent.glob(f"{path.stem}-{'[0-9]' * SEQUENCE_DIGITS}{SUFFIX}"))
    if path.exists():
        finished = [one for one in finished if not one.samefile(path)]  # a death between two names
        finished.append(path)
    return finished


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hex.

    Raises:
        OSError: it cannot be read.
    """
    digest = sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()


def lines_of(path: Path) -> Iterator[bytes]:
    """A file's lines; raises OSError."""
    with path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n")


def continue_in_new_file(path: Path, sequence: int, first: bytes) -> None:
    """Finish a log's file and begin the next one, durably. The caller holds the log's lock.

    Args:
        path: the file that is written to.
        sequence: of its last line.
        first: the new file's first line.

    Raises:
        OSError: no room, say, or there is another file of that name: both stay as they are, and
            the old file is still the one that is written to.
    """
    fresh = path.with_name(f".{path.name}.next")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(first)
        file.flush()
        os.fsync(file.fileno())
    finished = path.with_name(finished_name(path, sequence))
    if not finished.exists():
        finished.hardlink_to(path)
        sync_folder(path.parent)
    elif not finished.samefile(path):  # not of a death between two names: the new file would end it
        raise FileExistsError(EEXIST, "another finished file is in the way", str(finished))
    fresh.rename(path)
    sync_folder(path.parent)
