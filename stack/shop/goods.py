"""What the shop sells. Prices stand here and nowhere else: the page asks for names, not prices."""

from __future__ import annotations

from typing import Final

from attrs import frozen

CURRENCY: Final = "usd"


@frozen
class Good:
    """One thing to buy."""

    name: str
    price_minor: int


GOODS: Final = {
    "turnout": Good("Turnout, left hand, 15 degrees", 2499),
    "crossing": Good("Double slip crossing", 4950),
    "signal": Good("Semaphore signal, two arms", 1875),
}
