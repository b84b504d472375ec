"""What every benchmark says in the same words: the machine, the document, the table.

A document is the JSON of `turnout bench NAME --json`: `name`, `machine`, `parameters`, `results`,
`cpu_us_per_op` and `peers`. `cpu_us_per_op` counts the product's processes and Postgres only; what
the load generator itself costs stands in `results["load_cpu_us"]`.
"""

from __future__ import annotations

import json
import os
import platform
import ssl
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Document = dict[str, Any]

_CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class WrongResultsError(Exception):
    """The run was fast enough or not, but its answers were wrong: exit status 1."""


def machine() -> dict[str, str | int]:
    """The machine as far as figures depend on it."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def process_cpu_s(pid: int) -> float:
    """CPU seconds, user and system, of one live process with all its threads.

    Resolution is one clock tick (10 ms), so measure over seconds.

    Raises:
        ProcessLookupError: there is no such process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None
    # The second field is the program's name and may hold spaces and brackets (proc(5)).
    fields = stat.rpartition(")")[2].split()
    user_ticks, system_ticks = int(fields[11]), int(fields[12])
    return (user_ticks + system_ticks) / _CLOCK_TICKS_PER_S


def bench_document(
    name: str,
    parameters: Mapping[str, Any],
    results: Mapping[str, Any],
    cpu_us_per_op: Mapping[str, float],
    peers: Mapping[str, Any] | None = None,
) -> Document:
    """Assemble the document of one benchmark; `peers` holds the figures of what we compare to."""
    return {
        "name": name,
        "machine": machine(),
        "parameters": dict(parameters),
        "results": dict(results),
        "cpu_us_per_op": dict(cpu_us_per_op),
        "peers": dict(peers or {}),
    }


def show(document: Document, *, as_json: bool) -> None:
    """Print the document on stdout, as one JSON document or as a table for people."""
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    table = Table(title=f"turnout bench {document['name']}", title_justify="left")
    table.add_column("")
    table.add_column("figure", justify="right")
    budgets = document["results"].get("budget_us", {})
    if budgets:
        table.add_column("budget", justify="right")
    for section in ("results", "cpu_us_per_op", "peers", "parameters"):
        for key, value in _flat(document[section]):
            if key.startswith("budget_us."):
                continue
            budget = _figure(budgets[key]) if section == "cpu_us_per_op" and key in budgets else ""
            table.add_row(f"{section}.{key}", _figure(value), *([budget] if budgets else []))
        table.add_section()
    about = document["machine"]
    table.caption = f"{about['cpu']}, {about['cores']} cores, Python {about['python']}"
    Console().print(table)


def progress(text: str) -> None:
    """Say on stderr what the benchmark does now; stdout belongs to the document."""
    print(text, file=sys.stderr, flush=True)


def _flat(section: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Members with their names, those of nested members joined by dots."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{name}", inner) for name, inner in _flat(value))
        else:
            yield key, value


def _figure(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.3g}"
    if isinstance(value, bool) or not isinstance(value, int):
        return str(value)
    return f"{value:,}"
