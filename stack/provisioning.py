"""What every start of a stack sees to before its front door opens, in this order."""

from __future__ import annotations

from typing import Final

from stack.context import Provision
from stack.demo_shop import provision_demo_shop

PROVISION: Final[tuple[Provision, ...]] = (provision_demo_shop,)
