"""Merchants as networks are told of them, loaded when first needed and anew from time to time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from switch.core.messages import Acceptor

LoadAcceptors = Callable[[Sequence[bytes]], Awaitable[dict[bytes, Acceptor]]]


class Acceptors:
    """A cache in front of the ledger; as large as the merchants of a minute."""

    def __init__(self, load: LoadAcceptors) -> None:
        self._load = load
        self._known: dict[bytes, Acceptor] = {}

    async def find(self, merchant_ids: Sequence[bytes]) -> dict[bytes, Acceptor]:
        """The acceptors of these merchants, without those that are absent.

        Raises:
            LedgerError: the ledger could not be asked.
        """
        missing = sorted(set(merchant_ids) - self._known.keys())
        if missing:
            self._known.update(await self._load(missing))
        return {each: self._known[each] for each in merchant_ids if each in self._known}

    def forget(self) -> None:
        """Load them anew from now on: called on a timer, so that changes take effect."""
        self._known.clear()
