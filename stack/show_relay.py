"""The relay for people: one box, and what to do where it waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stack.show import make_console, summary_box


def status(document: dict[str, Any]) -> None:
    """Print `turnout relay status`."""
    console = make_console()
    console.print(summary_box(f"relay {document['slot']}", list(_facts(document))))
    for line in _ways_on(document):
        console.print(line)


def _facts(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    since = f" since {document['since']}" if document["since"] else ""
    yield "state", document["state"].replace("_", " ") + since
    if not document["enabled"]:
        yield "process", "switched off (relay.enabled = false)"
    elif not document["running"]:
        yield "process", "does not run"
    if document["finding"]:
        yield "found", f"{document['finding']}: {document['explanation'] or 'unknown here'}"
    if stream := document.get("stream"):
        yield "stream then", f"{stream['records_then']} records, up to {stream['mark_then']}"
        yield (
            "of database",
            f"system {stream['system_identifier']}, timeline {stream['timeline']}",
        )
    server = document["server"]
    if server is None:
        yield "slot", "absent"
        return
    yield "slot", f"{server['wal_status']}, {'in use' if server['in_use'] else 'not in use'}"
    yield "acknowledged", f"{server['confirmed']}, {server['behind_bytes']} bytes behind"
    of = "" if server["pinned_ratio"] is None else f", {server['pinned_ratio']:.1%} of the allowed"
    yield "pinned WAL", f"{server['pinned_bytes']} bytes{of}"


def _ways_on(document: dict[str, Any]) -> Iterator[str]:
    if document["state"] == "refused" and document.get("approved"):
        yield "A repair was agreed to; it begins within seconds."
    elif document["state"] == "refused":
        yield "Nothing is streamed. If this is the right database, let the stream be repaired:"
        yield '    turnout relay repair --note "why it is the right one"'
