"""Who may ask for what: roles by the user id that the kernel reports for a Unix socket.

Deny by default. A connection of a user without a role is refused; a request outside one's role is
answered `Refused("not_permitted")`. Where the processes of one machine are not separated, all
roles have the same user id, and that user has every role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hsm_sim.wire import (
    ChangeSessionKey,
    GenerateSessionKey,
    ImportSessionKey,
    ListKeys,
    ListNetworkKeys,
    LoadKek,
    Macs,
    OpenCards,
    ReleaseCards,
    SealSecrets,
    UnsealSecrets,
)

ROLES: Final[Mapping[str, frozenset[type]]] = {
    "switch": frozenset(
        {
            ListKeys,
            OpenCards,
            ReleaseCards,
            Macs,
            ListNetworkKeys,
            ImportSessionKey,
            GenerateSessionKey,
            ChangeSessionKey,
        }
    ),
    # It makes the secrets of webhooks; whose keys it unseals it cannot replace in the ledger.
    "api": frozenset({ListKeys, UnsealSecrets, SealSecrets}),
    "webhooks": frozenset({UnsealSecrets}),
    "admin": frozenset({ListKeys, SealSecrets, ListNetworkKeys, LoadKek}),
}


class Policy:
    """The permissions of one service.

    Args:
        allowed_uids: user id by role name; roles that the HSM does not know give no access.
    """

    def __init__(self, allowed_uids: Mapping[str, int]) -> None:
        self._permitted: dict[int, frozenset[type]] = {}
        for role, uid in allowed_uids.items():
            if role in ROLES:
                self._permitted[uid] = self._permitted.get(uid, frozenset()) | ROLES[role]

    @property
    def uids(self) -> frozenset[int]:
        """Users whose connection is accepted."""
        return frozenset(self._permitted)

    def permits(self, uid: int | None, request: Any) -> bool:
        """Whether this user may make this request; None is a peer of unknown user."""
        return uid is not None and type(request) in self._permitted.get(uid, ())
