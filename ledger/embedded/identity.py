"""Who Postgres runs as, and which folders that user can reach.

Postgres refuses to run as root. Started by root it gets a uid of its own, which need not have a
name: the server never asks for one. `initdb` does ("could not look up effective user ID"), so for
a nameless uid it runs as `nobody`, in a folder that only our gid may enter, and what it made
changes hands afterwards.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import Any

import attrs

from ledger.errors import EmbeddedPostgresError

STAND_IN = "nobody"


@attrs.frozen
class Identity:
    """The uid and gid of the server's processes.

    Attributes:
        uid: User id; our own unless we are root.
        gid: Group id.
        switched: Whether it differs from ours, so that files must change hands.
    """

    uid: int
    gid: int
    switched: bool

    def process_options(self) -> dict[str, Any]:
        """Options that start a subprocess as this identity, without other groups."""
        return _process_options(self.uid, self.gid) if self.switched else {}

    def take(self, path: Path) -> None:
        """Give a file or folder to this identity; never follows a symbolic link."""
        if self.switched:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def take_tree(self, folder: Path) -> None:
        """Give a folder and all below it to this identity."""
        self.take(folder)
        for parent, folders, names in os.walk(folder):
            for name in folders + names:
                self.take(Path(parent, name))

    def for_initdb(self) -> Identity:
        """Say who runs initdb: this identity, or its stand-in when the uid has no name."""
        try:
            pwd.getpwuid(self.uid)
        except KeyError:
            pass
        else:
            return self
        if not self.switched:
            raise EmbeddedPostgresError(
                f"initdb needs a user name, and uid {self.uid} has none; "
                "add the uid to /etc/passwd or set ledger.url to an existing Postgres"
            )
        try:
            stand_in = pwd.getpwnam(STAND_IN)
        except KeyError:
            raise EmbeddedPostgresError(
                f"initdb needs a user name; uid {self.uid} has none and there is no user "
                f"{STAND_IN!r} to stand in; add either to /etc/passwd"
            ) from None
        return Identity(stand_in.pw_uid, self.gid, switched=True)

    def blocked_at(self, path: Path) -> Path | None:
        """Find the first folder on the way to `path`, itself included, that we may not enter.

        For another user decided by owner, group and mode; access control lists are not consulted.
        """
        resolved = path.resolve()
        for folder in (*reversed(resolved.parents), resolved):
            if folder.exists() and not self._may_enter(folder):
                return folder
        return None

    def _may_enter(self, folder: Path) -> bool:
        if not self.switched:
            return os.access(folder, os.X_OK)
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def choose_identity(uid: int | None, gid: int | None) -> Identity:
    """Resolve who the server runs as.

    Raises:
        EmbeddedPostgresError: As root without a uid, or as a user who asks for another's.
    """
    own = os.geteuid()
    if own == 0:
        if not uid:
            raise EmbeddedPostgresError(
                "Postgres refuses to run as root: give it a uid (supervisor.separate_uids)"
            )
        return Identity(uid, uid if gid is None else gid, switched=True)
    if uid not in (None, own):
        raise EmbeddedPostgresError(f"only root can run Postgres as another user (uid {uid})")
    return Identity(own, os.getegid(), switched=False)


def _process_options(uid: int, gid: int) -> dict[str, Any]:
    return {"user": uid, "group": gid, "extra_groups": []}
