"""A message explained to a person: element by element, masked, with meanings and hints.

`explain(dialect, data)` takes one message, `read(dialect, data)` also finds what stands around it.
For tools and logs of single messages; nothing here is fast.
"""

from __future__ import annotations

from switch.iso8583.explain.hints import hints
from switch.iso8583.explain.reading import Reading, framing_words, read
from switch.iso8583.explain.rows import Explanation, Row, explain
from switch.iso8583.explain.show import document, fault_words, show

__all__ = [
    "Explanation",
    "Reading",
    "Row",
    "document",
    "explain",
    "fault_words",
    "framing_words",
    "hints",
    "read",
    "show",
]
