"""Where in a data directory the audit log, its keys and its witness are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Final

AUDIT_FOLDER: Final = "audit"
WITNESS_FOLDER: Final = "witness"
LOG_KEY_STEM: Final = "log"  # of the files of the log's key
WITNESS_KEY_STEM: Final = "witness"


def log_folder(data_dir: Path, shard: int = 0) -> Path:
    """Where the log of a shard is kept."""
    return data_dir / AUDIT_FOLDER / str(shard)


def log_public_key(data_dir: Path) -> Path:
    """The file of the log's public key."""
    return data_dir / AUDIT_FOLDER / f"{LOG_KEY_STEM}.pub"


def witness_folder(data_dir: Path, configured: str) -> Path:
    """Where the witness remembers and publishes; better on another disk."""
    return Path(configured) if configured else data_dir / WITNESS_FOLDER
