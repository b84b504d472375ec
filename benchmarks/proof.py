"""`make proof`: the figures that the documents quote, measured five times, kept as evidence.

Each benchmark's runs go to `docs/evidence/bench-<name>.json`: every document and the median of
every figure. Resumable: runs already in the file are not repeated; delete the file to measure
anew. Run it on a quiet machine; the figures are no test and gate nothing.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from benchmarks.report import Document, progress

EVIDENCE: Final = Path(__file__).parents[1] / "docs" / "evidence"
EXIT_USAGE: Final = 2
RUNS: Final = 5
# Name of the evidence, the benchmark, its options, how many runs.
PROOFS: Final[Sequence[tuple[str, str, Mapping[str, Any], int]]] = (
    ("codec", "codec", {}, RUNS),
    ("link", "link", {}, RUNS),
    ("hsm", "hsm", {}, RUNS),
    ("ledger", "ledger", {}, RUNS),
    ("api", "api", {}, RUNS),
    ("charges", "charges", {"seconds": 10.0, "connections": 256}, RUNS),
    ("charges-stream", "charges", {"seconds": 10.0, "connections": 256, "relay": "on"}, RUNS),
    ("relay", "relay", {}, RUNS),
    ("relay-rate", "relay", {"rate": 2_000.0, "rounds": 1}, RUNS),
    ("stream", "stream", {}, RUNS),
    ("doubts", "doubts", {}, RUNS),
    ("macs", "macs", {"rounds": RUNS}, 1),
    ("rotation", "sessions", {"rate": 500.0, "seconds": 90.0}, 1),
    ("echo", "sessions", {"seconds": 20.0}, RUNS),
    ("drain", "drain", {}, RUNS),
    ("idle", "idle", {}, RUNS),
    ("growth", "growth", {}, 1),
    ("charges-memory", "charges", {"count": 200_000, "connections": 256}, 1),
)
MEMORY_GROWTH_RATIO: Final = 1.05
MEMORY_GROWTH_BYTES: Final = 8 * 1_048_576


def medians(documents: Sequence[Document]) -> dict[str, float]:
    """The median of every numeric result and of every process's cost."""
    figures: dict[str, list[float]] = {}
    for document in documents:
        for section in ("results", "cpu_us_per_op"):
            for key, value in document[section].items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    figures.setdefault(f"{section}.{key}", []).append(value)
    return {key: statistics.median(values) for key, values in sorted(figures.items())}


def memory_grown(document: Document) -> list[str]:
    """The processes whose resident memory grew past the bound between 50,000 and 200,000."""
    early = document["results"]["resident_early_bytes"]
    late = document["results"]["resident_bytes"]
    return [
        name
        for name, resident in late.items()
        if resident > MEMORY_GROWTH_RATIO * early[name] + MEMORY_GROWTH_BYTES
    ]


def _load(path: Path) -> list[Document]:
    if not path.exists():
        return []
    documents: list[Document] = json.loads(path.read_text())["runs"]
    return documents


def main(wanted: Sequence[str]) -> int:
    """Measure what is missing; the names given, or everything."""
    if unknown := set(wanted) - {name for name, *_ in PROOFS}:
        progress(f"there is no such part: {', '.join(sorted(unknown))}")
        return EXIT_USAGE
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    grown: list[str] = []
    for name, benchmark, options, runs in PROOFS:
        if wanted and name not in wanted:
            continue
        path = EVIDENCE / f"bench-{name}.json"
        documents = _load(path)
        while len(documents) < runs:
            progress(f"{name}: run {len(documents) + 1} of {runs}")
            documents.append(import_module(f"benchmarks.{benchmark}").run(**options))
            evidence = {"name": name, "medians": medians(documents), "runs": documents}
            path.write_text(json.dumps(evidence, indent=1) + "\n")
        if name == "charges-memory":
            grown = memory_grown(documents[-1])
    if grown:
        progress(f"resident memory grew past its bound: {', '.join(grown)}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
