"""The faults that networks make, as fault scripts in JSON lines. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from chaos.schedule import Fault
from chaos.stories import OperationType

REFUND: Final = "20*"  # DE 3
SALE: Final = "00*"
# The message of each operation, which the rule waits for.
MATCHES: Final[dict[OperationType, dict[str, Any]]] = {
    "charge": {"mti": ["0100", "0200"], "elements": {"3": SALE}},
    "capture": {"mti": ["0220", "0221"]},
    "cancel": {"mti": ["0400", "0420", "0421"]},
    "refund": {"mti": "0200", "elements": {"3": REFUND}},
}


def script_of(network: str, faults: Iterable[Fault], *, seed: int) -> str:
    """The fault script of one network.

    Each rule waits for one message, by its amount; that message alone, so that its repeats fare
    better and it comes to an end.
    """
    lines = [json.dumps({"seed": seed})]
    lines += [
        json.dumps(
            {
                "name": f"fault-{fault.index}",
                "match": {**MATCHES[fault.message], "amount": fault.amount},
                "nth": 1,
                "action": fault.action,
            }
        )
        for fault in faults
        if fault.amount and fault.target == network
    ]
    return "\n".join(lines) + "\n"
