"""The frame of the pages for people: no script, no picture, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:.5rem 0 1rem}"
    "td{padding:.3rem .8rem .3rem 0;vertical-align:top;border-top:1px solid #ddd}"
    "h3{margin:2.5rem 0 .25rem;font-size:1.1rem}h3 small{font-weight:normal}"
    "code{font-size:.95em}"
    "pre{background:#f6f6f6;padding:.6rem;overflow-x:auto}summary{cursor:pointer}"
)


def page(title: str, body: str) -> str:
    """A whole document; `body` is HTML, the title is not."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1>{body}</html>"
    )


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of cells that are HTML already; nothing at all without rows."""
    if not rows:
        return ""
    lines = "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows)
    return f"<table>{lines}</table>"
