"""What a delivery may be; it imports nothing, so that the command line's help need not wait."""

from __future__ import annotations

from typing import Final

DELIVERY_STATUSES: Final = ("pending", "delivered", "failed", "canceled")
