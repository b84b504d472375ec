"""Message types as cases name them, several in one string."""

from __future__ import annotations

from typing import Final

REQUESTS: Final = "0100 0200"
ANSWERS: Final = "0110 0210"
CAPTURES: Final = "0220 0221"
REVERSALS: Final = "0420 0421"
CANCELS: Final = "0400 0401"
INQUIRIES: Final = "0600 0601"
MANAGEMENT: Final = "0800"
SIGN_ON, SIGN_OFF, ECHO, CUTOVER = "001", "002", "301", "201"
