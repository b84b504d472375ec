"""Words of webhooks for those who must not wait for more: it imports nothing."""

from __future__ import annotations

from typing import Final

CONSUMER_GROUP: Final = "webhooks"  # of the event stream
DELIVERY_STATUSES: Final = ("pending", "delivered", "failed", "canceled")
