"""What keeps a stack from starting."""

from __future__ import annotations


class StartError(Exception):
    """The stack cannot start here. The message says what is wrong and how to mend it (exit 3)."""
