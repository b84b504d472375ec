"""The decisions as steps of `ledger.deciding`: what they are about, and the function that decides.

A step that finds no intent is at fault, except for an order: a merchant may name any intent.
"""

from __future__ import annotations

from msgspec import Struct

from ledger.deciding.records import IntentView, Plan
from ledger.records import Lost
from switch.core.findings import Finding
from switch.core.operations.admitting import admit
from switch.core.operations.doubts import inquire
from switch.core.operations.reading import ViewError
from switch.core.operations.records import Context, Order
from switch.core.operations.retrying import attempt_again
from switch.core.operations.reversals import close_window
from switch.core.operations.settling import settle


class Admit(Struct, frozen=True):
    """Admit or refuse an order; answers with an `Admitted`."""

    order: Order
    context: Context

    @property
    def intent_id(self) -> bytes:
        """The order's intent."""
        return self.order.intent_id

    @property
    def key(self) -> tuple[bytes, bytes] | None:
        """The order's idempotency key; the sweeper has none."""
        order = self.order
        return (order.merchant_id, order.key_digest) if order.key_digest else None

    def decide(self, view: IntentView | None) -> Plan | Lost:
        """Decide on the locked view."""
        return admit(view, self.order, self.context)


class About(Struct, frozen=True):
    """Something about one attempt; never asked for under a key."""

    intent_id: bytes
    attempt_id: bytes
    context: Context

    @property
    def key(self) -> tuple[bytes, bytes] | None:
        """None: nobody repeats it under one."""
        return None


class Settle(About, frozen=True, kw_only=True):
    """Act on a finding about an attempt; answers with a `Conclusion`."""

    finding: Finding
    second: bool = False  # an answer came before; it must have been recorded

    def decide(self, view: IntentView | None) -> Plan | Lost:
        """Decide on the locked view."""
        return settle(_there(view), self.attempt_id, self.finding, self.context, second=self.second)


class Inquire(About, frozen=True):
    """Record an inquiry about an attempt in doubt; answers with its `Letter`, or None."""

    def decide(self, view: IntentView | None) -> Plan | Lost:
        """Decide on the locked view."""
        return inquire(_there(view), self.attempt_id, self.context)


class CloseWindow(About, frozen=True):
    """Reverse an attempt whose window is over; answers with a `Conclusion`."""

    def decide(self, view: IntentView | None) -> Plan | Lost:
        """Decide on the locked view."""
        return close_window(_there(view), self.attempt_id, self.context)


class TryAgain(About, frozen=True, kw_only=True):
    """Replace an attempt that moved nothing by another one; answers with an `Again`, or `Lost`."""

    mti: str
    finding: Finding

    def decide(self, view: IntentView | None) -> Plan | Lost:
        """Decide on the locked view."""
        return attempt_again(view, self.attempt_id, self.mti, self.finding, self.context)


def _there(view: IntentView | None) -> IntentView:
    if view is None:
        raise ViewError("no such intent")
    return view
