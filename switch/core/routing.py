"""Which networks can carry a card: the longest PAN prefix, then priority, then cost.

Pure: built once from the settings, asked once per payment. The answer is ordered; the caller takes
the first network that has a free window slot, *before* anything is recorded (money.md 5). A network
whose breaker is open has none (`switch.core.breaker`).
"""

from __future__ import annotations

from collections.abc import Mapping

from chassis.settings import Network

PREFIX_DIGITS_MAX = 8  # issuer identification numbers have at most eight digits (ISO/IEC 7812-1)


class RoutingError(ValueError):
    """The routing table cannot be built; names the network and the prefix."""


class RoutingTable:
    """PAN prefix to network names, in order of preference."""

    __slots__ = ("_by_prefix", "_default", "_lengths")

    def __init__(self, networks: Mapping[str, Network], default: str) -> None:
        if default not in networks:
            raise RoutingError(f"switch.default_network: no network is called {default!r}")
        by_prefix: dict[str, list[str]] = {}

        def preference(name: str) -> tuple[int, float, str]:
            return networks[name].priority, networks[name].cost, name

        for name in sorted(networks, key=preference):
            for prefix in networks[name].bins:
                if not (prefix.isascii() and prefix.isdigit() and len(prefix) <= PREFIX_DIGITS_MAX):
                    raise RoutingError(
                        f"networks.{name}.bins: {prefix!r} is not 1 to {PREFIX_DIGITS_MAX} digits"
                    )
                by_prefix.setdefault(prefix, []).append(name)
        self._by_prefix = {prefix: tuple(names) for prefix, names in by_prefix.items()}
        self._lengths = tuple(sorted({len(prefix) for prefix in by_prefix}, reverse=True))
        self._default = (default,)

    def candidates(self, pan: str) -> tuple[str, ...]:
        """Networks for a PAN, best first; never empty."""
        for length in self._lengths:
            names = self._by_prefix.get(pan[:length])
            if names is not None:
                return names
        return self._default
