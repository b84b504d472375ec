"""What an auditor is told of restores: rows that are known to be lost, and in which of them."""

from __future__ import annotations

from typing import Any

from ledger.audit.comparison import Compared
from ledger.audit.findings import Findings
from stack.instants import rfc3339

KIND = "restore"  # of finding


def restores(compared: Compared) -> list[dict[str, Any]]:
    """Each time that the ledger was set back, and how much is known to be lost by it, as JSON."""
    return [
        {
            "at": rfc3339(one.at_us),
            "operator": one.operator or None,
            "note": one.note,
            "lost_from": one.lost.start,
            "lost_until": one.lost.stop,
            "rows_lost": one.rows,
        }
        for _, one in sorted(compared.restores.items())
    ]


def name_losses(compared: Compared, findings: Findings) -> None:
    """Make a finding of each restore that has lost rows: nobody has accepted it."""
    for one in restores(compared):
        if one["rows_lost"]:
            findings.add(
                KIND,
                f"restore of {one['at']}",
                f"{one['rows_lost']} rows are known to be lost in it (records {one['lost_from']} "
                f"to {one['lost_until'] - 1}), made by {one['operator'] or 'nobody who is named'}; "
                "accept it with --accept-restores",
            )
