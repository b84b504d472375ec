"""Where each first result leads a charge and its intent: tables, by how the charge is captured.

They are checked against the ways of `ledger.lifecycle` when this module is imported. A partial
approval stands here for a merchant that takes one; any other is reversed (`core.operations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ledger.lifecycle import (
    CHARGE_SETTLEMENTS,
    check_intent_transition,
    check_transaction_transition,
)

Settlements = Mapping[str, tuple[str, str]]  # result → statuses of the transaction and the intent

CAPTURED: Final[Settlements] = CHARGE_SETTLEMENTS
HELD: Final[Settlements] = MappingProxyType(
    {
        **CHARGE_SETTLEMENTS,
        "approved": ("succeeded", "authorized"),
        "partial": ("succeeded", "authorized"),
    }
)
# A verification moves no money: its doubt is a failure, and its intent stays created.
VERIFIED: Final[Settlements] = MappingProxyType(
    {
        "approved": ("succeeded", "created"),
        "declined": ("failed", "created"),
        "not_sent": ("failed", "created"),
        "unknown": ("failed", "created"),
    }
)

for _table in (CAPTURED, HELD):
    for _transaction_to, _intent_to in _table.values():
        check_transaction_transition("pending", _transaction_to)
        check_intent_transition("processing", _intent_to)
