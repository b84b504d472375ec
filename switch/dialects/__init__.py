"""The dialects: what each network speaks, held as data and checked when it is read.

`net87b.toml`, `vip.toml` and `cis.toml` beside this file ship with the product; a licensed scheme
dialect is another such file, named by its path. Nothing here knows of bytes: `switch.iso8583`
turns a checked document into a codec and a framing.
"""

from __future__ import annotations

from switch.dialects.errors import DialectError, line_of
from switch.dialects.framings import Framing
from switch.dialects.reading import bundled_dialects, parse_dialect, read_dialect
from switch.dialects.schema import (
    DialectDocument,
    ElementFormat,
    MessageRule,
    NetworkFunctions,
    Packing,
    Policy,
    PrivateTags,
)

__all__ = [
    "DialectDocument",
    "DialectError",
    "ElementFormat",
    "Framing",
    "MessageRule",
    "NetworkFunctions",
    "Packing",
    "Policy",
    "PrivateTags",
    "bundled_dialects",
    "line_of",
    "parse_dialect",
    "read_dialect",
]
