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
        setting = "relay.second" if document.get("second") else "relay.enabled"
        yield "process", f"switched off ({setting} = false)"
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
        second = "--second " if document.get("second") else ""
        yield f'    turnout relay repair {second}--note "why it is the right one"'


def comparison(document: dict[str, Any]) -> None:
    """Print `turnout relay compare`."""
    console = make_console()
    console.print(summary_box("the two streams", list(_compared(document))))
    for one in document["differences"]:
        console.print(f"{one['kind']} {one['lsn']} {one['row']}: {one['detail']}", soft_wrap=True)
        for name in ("first", "second"):
            if one[name]:
                offset = one[f"{name}_offset"]
                record = "" if offset is None else f", record {offset}"
                console.print(f"    {name:6} {one[name]}{record}", soft_wrap=True)
    if (more := document["differences_total"] - len(document["differences"])) > 0:
        console.print(f"… and {more} more")


def _compared(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    records = document["records"]
    yield "records", f"{records['first']} and {records['second']}"
    yield "compared", f"{document['compared']}, in {len(document['ranges'])} ranges"
    for one in document["ranges"][-3:]:
        yield f"{one['begin']} to {one['end']}", f"{one['leaves']} leaves, root {one['root'][:16]}…"
    for one in document["gaps"][-3:]:
        repaired = f"{one['repaired_first']} and {one['repaired_second']} repaired"
        rows = "rows alike" if one["compared"] else "rows not compared"
        if not document["ok"] and one["compared"]:
            rows = "rows compared"
        yield f"gap up to {one['end']}", f"{repaired}, {rows}"
    if (late := document["waits_for"]) is not None:
        yield "waits for", "both streams" if late == "both" else f"the {late} stream"
    yield "differences", str(document["differences_total"])
