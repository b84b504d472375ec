"""What operators do to the ledger, and under which name: each deed is kept for ever."""

from __future__ import annotations

import os
import pwd

from ledger.operators import OperatorAction
from stack.acting import Document
from stack.instants import rfc3339


def login_name() -> str:
    """Who is at the keyboard: whoever used sudo, else the user of this process."""
    behind_sudo = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    if behind_sudo:
        return behind_sudo
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's number without a name
        return f"uid-{os.getuid()}"


def action_document(action: OperatorAction) -> Document:
    """What an operator did; `resolution` is the ledger's word."""
    return {
        "at": rfc3339(action.at_us),
        "operator": action.operator,
        "action": action.action,
        "resolution": action.resolution or None,
        "note": action.note,
    }
