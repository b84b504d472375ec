"""Which user each process of a stack runs as.

As root every role gets a uid of its own, counted from `supervisor.uid_base`, and a group of the
same number. The numbers need no names in /etc/passwd. A process may connect to another's Unix
socket if it is in the group of that socket's owner, and the server checks the peer's uid again.
As an ordinary user all processes are that user: the trust zones are not separated, which the
caller says once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from chassis.service.launch import Identity
from chassis.settings.tree import Supervisor

SUPERVISOR_ROLE = "admin"  # who provisions: the supervisor itself


@frozen
class Users:
    """The uid of each role.

    Attributes:
        separated: whether each role has a uid of its own.
        uids: by role; the supervisor's own role is `admin`.
    """

    separated: bool
    uids: dict[str, int]

    def uid(self, role: str) -> int:
        """The uid that a role's processes run under."""
        return self.uids[role]

    def identity(self, role: str, *, connects_to: Sequence[str] = ()) -> Identity | None:
        """What a process of this role becomes; None where all stay who we are."""
        if not self.separated:
            return None
        uid = self.uids[role]
        return Identity(uid=uid, gid=uid, groups=tuple(self.uids[name] for name in connects_to))

    def owner(self, role: str) -> tuple[int, int] | None:
        """Uid and gid to give a role's files to; None where they are ours already."""
        return (self.uids[role], self.uids[role]) if self.separated else None

    def allowed(self, *roles: str) -> dict[str, int]:
        """Roles and uids for a server's check of its peers; the supervisor is always among them."""
        return {role: self.uids[role] for role in (*roles, SUPERVISOR_ROLE)}


def assign_users(settings: Supervisor, roles: Sequence[str], *, euid: int) -> Users:
    """Give each role its uid, counted in the order of `roles`.

    Args:
        settings: whether to separate, and the first uid.
        roles: in a fixed order, or data directories would change hands between starts.
        euid: who the supervisor is; only root can separate.
    """
    separated = euid == 0 and settings.separate_uids
    uids = {
        role: settings.uid_base + number if separated else euid for number, role in enumerate(roles)
    }
    return Users(separated, uids | {SUPERVISOR_ROLE: euid})


def find_closed_folder(path: Path) -> Path | None:
    """The first folder on the way to `path` that strangers may not pass, or None.

    A data directory below such a folder (root's home, for one) is out of reach for processes
    with uids of their own.
    """
    for folder in reversed(path.resolve().parents):
        if folder.exists() and not folder.stat().st_mode & 0o001:
            return folder
    return None
