"""Each role has its uid, and may connect where it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.service import Identity
from chassis.settings import Supervisor
from chassis.supervisor import assign_users, find_closed_folder

ROLES = ["postgres", "hsm", "switch", "api"]
SETTINGS = Supervisor(uid_base=52_000)


def test_as_root_each_role_has_its_own_uid() -> None:
    """Numbers follow the order of the roles, so they stay the same at every start."""
    users = assign_users(SETTINGS, ROLES, euid=0)
    assert users.separated
    assert [users.uid(role) for role in ROLES] == [52_000, 52_001, 52_002, 52_003]
    assert users.owner("hsm") == (52_001, 52_001)
    assert users.allowed("switch") == {"switch": 52_002, "admin": 0}
    assert users.identity("api", connects_to=("switch", "hsm")) == Identity(
        uid=52_003, gid=52_003, groups=(52_002, 52_001)
    )


@pytest.mark.parametrize(
    ("settings", "euid"), [(SETTINGS, 1000), (Supervisor(separate_uids=False), 0)]
)
def test_otherwise_all_roles_are_us(settings: Supervisor, euid: int) -> None:
    """As a user, or when separation is switched off, nothing changes hands."""
    users = assign_users(settings, ROLES, euid=euid)
    assert not users.separated
    assert {users.uid(role) for role in ROLES} == {euid}
    assert users.identity("api", connects_to=("hsm",)) is None
    assert users.owner("hsm") is None
    assert users.allowed("api") == {"api": euid, "admin": euid}


def test_a_closed_folder_on_the_way_is_found(open_tmp_path: Path) -> None:
    """A folder without the x bit for others keeps every other uid out of what is below."""
    closed = open_tmp_path / "closed"
    (closed / "data").mkdir(parents=True)
    closed.chmod(0o700)
    assert find_closed_folder(closed / "data" / "turnout") == closed
    closed.chmod(0o711)
    assert find_closed_folder(closed / "data" / "turnout") is None
