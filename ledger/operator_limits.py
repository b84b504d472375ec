"""How long an operator's texts may be: for the ledger, and for commands that must start at once."""

from __future__ import annotations

from typing import Final

OPERATOR_CHARACTERS_MAX: Final = 48
NOTE_CHARACTERS_MAX: Final = 1_000
