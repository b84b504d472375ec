"""What every start of a stack sees to before its front door opens, in this order."""

from __future__ import annotations

from typing import Final

from stack.context import Provision
from stack.demo_shop import provision_demo_shop
from stack.shards import provision_merchants, provision_shards

PROVISION: Final[tuple[Provision, ...]] = (
    provision_shards,
    provision_demo_shop,
    provision_merchants,
)
