"""The dialects: what each network speaks, held as data and checked when it is read.

`net87b.toml` beside this file is the one that ships; a licensed scheme dialect is another such
file, named by its path. `schema` reads and checks them and knows nothing of bytes:
`switch.iso8583` turns a checked document into a codec.
"""

from __future__ import annotations

from switch.dialects.schema import (
    DialectDocument,
    DialectError,
    ElementFormat,
    Framing,
    MessageRule,
    PrivateTags,
    read_dialect,
)

__all__ = [
    "DialectDocument",
    "DialectError",
    "ElementFormat",
    "Framing",
    "MessageRule",
    "PrivateTags",
    "read_dialect",
]
