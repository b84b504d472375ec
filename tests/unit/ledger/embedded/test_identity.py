"""Who Postgres runs as, and which folders stop it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger.embedded.identity import Identity, choose_identity
from ledger.errors import EmbeddedPostgresError

STRANGER = Identity(uid=52_999, gid=52_999, switched=True)
AS_ROOT = os.geteuid() == 0


def test_a_folder_closed_to_others_blocks_a_stranger(open_tmp_path: Path) -> None:
    """The first folder that may not be entered is named, however deep the path goes on."""
    closed = open_tmp_path / "home"
    (closed / "data" / "deep").mkdir(parents=True)
    closed.chmod(0o700)
    assert closed == STRANGER.blocked_at(closed / "data" / "deep")
    closed.chmod(0o711)
    assert STRANGER.blocked_at(closed / "data" / "deep") is None


def test_owner_and_group_are_judged_by_their_own_bits(open_tmp_path: Path) -> None:
    """As the kernel does: the owner's bits alone count for the owner, even if others have more."""
    folder = open_tmp_path / "folder"
    folder.mkdir()
    owner = Identity(folder.stat().st_uid, 52_999, switched=True)
    member = Identity(52_999, folder.stat().st_gid, switched=True)
    folder.chmod(0o611)
    assert (folder, None, None) == tuple(
        who.blocked_at(folder) for who in (owner, member, STRANGER)
    )
    folder.chmod(0o701)
    assert (None, folder, None) == tuple(
        who.blocked_at(folder) for who in (owner, member, STRANGER)
    )


def test_a_path_that_does_not_exist_yet_is_judged_by_what_does(open_tmp_path: Path) -> None:
    """A folder still to be made cannot block; its parents can."""
    assert STRANGER.blocked_at(open_tmp_path / "later" / "much") is None
    open_tmp_path.chmod(0o700)
    assert open_tmp_path == STRANGER.blocked_at(open_tmp_path / "later")


def test_a_symbolic_link_is_judged_by_where_it_leads(open_tmp_path: Path) -> None:
    """An open link into a closed folder helps nobody."""
    closed = open_tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    (open_tmp_path / "link").symlink_to(closed / "inner")
    assert closed == STRANGER.blocked_at(open_tmp_path / "link")


def test_our_own_identity_changes_nothing_about_processes() -> None:
    """An ordinary user's server is an ordinary child."""
    own = Identity(os.geteuid(), os.getegid(), switched=False)
    assert own.process_options() == {}
    assert STRANGER.process_options() == {"user": 52_999, "group": 52_999, "extra_groups": []}


def test_a_nameless_uid_lets_nobody_run_initdb_in_our_group() -> None:
    """The program initdb asks for a user name, which an invented uid does not have."""
    maker = STRANGER.for_initdb()
    assert (STRANGER.gid, True) == (maker.gid, maker.switched)
    assert maker.uid not in (0, STRANGER.uid)


def test_a_named_uid_runs_initdb_itself() -> None:
    """No stand-in where none is needed."""
    named = Identity(os.geteuid(), os.getegid(), switched=False)
    assert named is named.for_initdb()


def test_a_nameless_user_who_is_not_root_is_told_what_to_do() -> None:
    """Without root there is no stand-in, only advice."""
    with pytest.raises(EmbeddedPostgresError, match=r"52999 has none; add the uid to /etc/passwd"):
        Identity(52_999, 52_999, switched=False).for_initdb()


def test_choosing_follows_who_we_are() -> None:
    """Root must name a uid; an ordinary user can only be itself."""
    if AS_ROOT:
        assert Identity(52_000, 52_000, switched=True) == choose_identity(52_000, None)
        assert Identity(52_000, 7, switched=True) == choose_identity(52_000, 7)
        for refused in (None, 0):
            with pytest.raises(EmbeddedPostgresError, match="refuses to run as root"):
                choose_identity(refused, None)
    else:
        own = Identity(os.geteuid(), os.getegid(), switched=False)
        assert own == choose_identity(None, None) == choose_identity(os.geteuid(), None)
        with pytest.raises(EmbeddedPostgresError, match="only root"):
            choose_identity(os.geteuid() + 1, None)
