"""What `turnout audit verify all` says of a stack, as an auditor would ask it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from msgspec import DecodeError, Struct
from msgspec.json import decode


class Checked(Struct, frozen=True):
    """How much was checked."""

    events: int


class Audited(Struct, frozen=True):
    """The verdict: whether nothing was found, how much was checked, and what was found."""

    ok: bool
    checked: Checked
    findings: tuple[dict[str, Any], ...] = ()

    def document(self) -> dict[str, int]:
        """The counts."""
        return {"events": self.checked.events, "findings": len(self.findings)}


class AuditFailedError(Exception):
    """The command could not verify at all; carries what it said."""


def verify_audit(data_dir: Path, shard: int = 0) -> Audited:
    """Have everything of a shard verified, by the command and in a process of its own.

    Args:
        data_dir: the stack's.
        shard: whose log.

    Raises:
        AuditFailedError: it ended without a verdict.
    """
    command = [sys.executable, "-P", "-m", "turnout", "audit", "verify", "all", "--json"]
    command += ["--shard", str(shard)]
    done = subprocess.run([*command, "--data-dir", str(data_dir)], check=False, capture_output=True)
    try:
        return decode(done.stdout, type=Audited)
    except DecodeError:
        said = (done.stderr or done.stdout).decode(errors="replace")[-2_000:]
        raise AuditFailedError(said) from None
