"""The shards for people: who owns how many buckets, and what is on its way."""

from __future__ import annotations

from typing import Any, Final

from stack.show import list_table, make_console, print_whole

COLUMNS: Final = ("shard", "buckets", "open", "which")


def status(document: dict[str, Any]) -> None:
    """Print `turnout shards status`."""
    console = make_console()
    table = list_table(COLUMNS, right=("shard", "buckets", "open"))
    for one in document["shards"]:
        table.add_row(str(one["shard"]), str(one["buckets"]), str(one["open"]), one["named"])
    print_whole(console, table)
    for moving in document["moving"]:
        console.print(f"buckets {moving['buckets']} are on their way to shard {moving['to']}")
    if document["waiting"]:
        console.print("to finish what was begun: turnout shards move --resume")
    if merchant := document.get("merchant"):
        holders = ", ".join(map(str, merchant["holders"]))
        console.print(
            f"{merchant['merchant']} is in bucket {merchant['bucket']}: new payments go to shard "
            f"{merchant['shard']}, payments may stand on {holders}"
        )
    for fault in document["faults"]:
        console.print(f"out of order: {fault}")
