"""The page of all metrics, as a table to hold a running stack to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
_NAME: Final = re.compile(r"turnout_(?:<\w+>|[a-z]+)_[a-z0-9_]+")
_ROW: Final = re.compile(rf"^\| `({_NAME.pattern})` \|")
_SERIES: Final = re.compile(r"turnout_(?P<process>[a-z]+)_(?P<noun>[a-z0-9_]+)")
ANY_PROCESS: Final = "<process>"
ANY_NETWORK: Final = "<network>"


def metrics_on_page(text: str) -> dict[str, bool]:
    """Every metric of the page, and whether a plain stack has it.

    A table behind a line that begins with "Only" is of what has to be switched on.
    """
    found: dict[str, bool] = {}
    plain = True
    for line in text.splitlines():
        if line.startswith(("#", "Only ")):
            plain = line.startswith("#")
        elif (row := _ROW.match(line)) is not None:
            found[row[1]] = plain
    return found


def row_of(series: str, page: dict[str, bool], networks: frozenset[str]) -> str | None:
    """The row in which a series stands, under its own name or one for several processes.

    Args:
        series: such as `turnout_vsim_connections_used_ratio`.
        page: what `metrics_on_page` gives.
        networks: their names.
    """
    parts = _SERIES.fullmatch(series)
    assert parts is not None, series
    stand_ins = [parts["process"], ANY_PROCESS]
    if parts["process"] in networks:
        stand_ins.insert(1, ANY_NETWORK)
    rows = (f"turnout_{name}_{parts['noun']}" for name in stand_ins)
    return next((row for row in rows if row in page), None)
