"""Public test card numbers: they move no money, so live mode refuses them (contract 1).

The numbers of the simulated networks, which `network_sim/cards.toml` gives an outcome each, and the
ones that card brands and gateways publish for their own sandboxes. Pure data.
"""

from __future__ import annotations

from typing import Final, Literal

SIMULATED: Final = frozenset(
    {
        "4242424242424242",
        "5555555555554444",
        "4000000000000002",
        "4000000000009995",
        "4000000000000069",
        "4000000000009987",
        "4000000000009979",
        "4000000000000127",
        "4000000000000119",
        "4000000000006801",
        "4000000000007809",
        "4000000000008807",
        "4000000000009805",
        "4000000000000259",
    }
)
PUBLISHED: Final = frozenset(
    {
        "30569309025904",
        "3530111333300000",
        "3566002020360505",
        "371449635398431",
        "378282246310005",
        "378734493671000",
        "38520000023237",
        "4000056655665556",
        "4012888888881881",
        "4111111111111111",
        "4222222222222",
        "5105105105105100",
        "5200828282828210",
        "6011000990139424",
        "6011111111111117",
        "6200000000000005",
    }
)


def refused_pans(mode: Literal["test", "live"]) -> frozenset[str]:
    """The card numbers that a switch of this mode does not charge."""
    return SIMULATED | PUBLISHED if mode == "live" else frozenset()
