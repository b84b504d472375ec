"""What the parts of a shard are called, and where they lie.

Shard 0 has the stack's own names and its data directory. Of shard k every unit's name ends in
`@k`, and `<data-dir>/shards/<k>/` is laid out as a stack's data directory is, as far as it is a
ledger's: postgres, stream, audit, witness, archive, and endpoints of its own units. What is not
the ledger's is kept once, at the top: certificates, the HSM, the networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from chassis.durable import write_durably

FOLDER: Final = "shards"
FOUNDED: Final = "founded"  # a file in a shard's directory; says by being there that it counts
_MARK: Final = "@"


def unit_key(name: str, shard: int) -> str:
    """The key of one shard's unit, secret or check: `relay`, `relay@1`."""
    return f"{name}{_MARK}{shard}" if shard else name


def name_within(key: str, shard: int) -> str | None:
    """What a unit is called within its shard; None where it is not of this one (1 or above)."""
    name, _, number = key.rpartition(_MARK)
    return name if number == str(shard) else None


def shard_directory(data_dir: Path, shard: int) -> Path:
    """Where everything durable of one shard lies."""
    return data_dir / FOLDER / str(shard) if shard else data_dir


def shards_in(data_dir: Path) -> int:
    """How many shards a data directory has; 1 for one that is not there yet.

    A folder that was begun, and whose ledger has never been taken in, is none: merchants are only
    ever moved to what was.
    """
    founded = (data_dir / FOLDER).glob(f"*/{FOUNDED}")
    numbers = [int(path.parent.name) for path in founded if path.parent.name.isdecimal()]
    return max(numbers, default=0) + 1


def mark_founded(data_dir: Path, shard: int) -> None:
    """Note that a shard's ledger has been taken in.

    Raises:
        OSError: the disk is full, or the folder is gone.
    """
    mark = shard_directory(data_dir, shard) / FOUNDED
    if shard and not mark.exists():
        write_durably(mark, b"", mode=0o644)


def stack_of(directory: Path) -> Path | None:
    """The data directory whose shard a directory is; None for one of its own."""
    if directory.parent.name == FOLDER and directory.name.isdecimal():
        top = directory.parent.parent
        return top if (top / "run").is_dir() else None
    return None
