"""Admission: one counter of payments inside, with a share per network and per merchant.

Because nothing enters the pipeline without a credit and every reply gives it back, every inner
inbox is bounded by construction and none needs to block (design 3).
"""

from __future__ import annotations

from chassis.settings import Switch


class Admission:
    """Counts payments from intake to reply; plain integers, one event loop."""

    __slots__ = (
        "_by_merchant",
        "_by_network",
        "_merchant_max",
        "_network_max",
        "_storage_is_full",
        "_stream_is_behind",
        "closed",
        "credits_max",
        "inside",
        "peak",
    )

    def __init__(self, settings: Switch) -> None:
        self.credits_max = settings.credits_max
        self._merchant_max = settings.merchant_credits_max
        self._network_max = max(1, int(settings.credits_max * settings.network_share))
        self._by_merchant: dict[bytes, int] = {}
        self._by_network: dict[str, int] = {}
        self.inside = 0
        self.peak = 0
        self.closed = False
        self._storage_is_full = False
        self._stream_is_behind = False

    def heed_storage(self, is_full: bool) -> None:  # noqa: FBT001  told by whoever watches
        """Admit nothing while the disks are full; what is inside has its room (`FreeSpace`)."""
        self._storage_is_full = is_full

    def heed_stream(self, is_behind: bool) -> None:  # noqa: FBT001  told by whoever watches
        """Admit nothing while the event stream is too far behind (`ledger.relay.shedding`)."""
        self._stream_is_behind = is_behind

    def enter(self, merchant_id: bytes) -> str:
        """Take a credit: "" when admitted, otherwise the error code of the refusal."""
        if self.closed or self.inside >= self.credits_max or self._stream_is_behind:
            return "overloaded"
        if self._storage_is_full:
            return "insufficient_storage"
        held = self._by_merchant.get(merchant_id, 0)
        if held >= self._merchant_max:
            return "rate_limited"
        self._by_merchant[merchant_id] = held + 1
        self.inside += 1
        self.peak = max(self.peak, self.inside)
        return ""

    def leave(self, merchant_id: bytes, network: str = "") -> None:
        """Give the credit back, at reply; `network` where one had been taken."""
        self.inside -= 1
        held = self._by_merchant[merchant_id] - 1
        if held:
            self._by_merchant[merchant_id] = held
        else:
            del self._by_merchant[merchant_id]
        if network:
            self._by_network[network] -= 1

    def enter_network(self, network: str) -> bool:
        """Take one of the network's share; False when a silent network already holds it all."""
        held = self._by_network.get(network, 0)
        if held >= self._network_max:
            return False
        self._by_network[network] = held + 1
        return True

    def leave_network(self, network: str) -> None:
        """Give back the network's part alone, when the payment goes elsewhere."""
        self._by_network[network] -= 1
