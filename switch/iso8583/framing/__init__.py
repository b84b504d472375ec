"""How messages stand on a stream: the framings of card networks, chosen by the dialect.

`framer_for(dialect.framing, frame_bytes_max)` gives a `chassis.framing.Framer` for one direction of
one connection. What networks put around a message is a length, perhaps a header behind it, perhaps
a trailer; `lengths` and `headers` know the kinds of each, `catalog` puts them together.
"""

from __future__ import annotations

from switch.iso8583.framing.catalog import CatalogFramer, framer_for
from switch.iso8583.framing.headers import Enveloped, Returned

__all__ = ["CatalogFramer", "Enveloped", "Returned", "framer_for"]
