"""The demo shop; a section of `chassis.settings.tree`."""

from __future__ import annotations

from chassis.settings.section import Section


class Shop(Section, frozen=True):
    """A shop to pay in with test cards; in live mode there is none."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 8081  # another origin than the API's on purpose: so is a merchant's
    orders_in_flight_max: int = 64  # asked of the API at once; the next one is told to come again
