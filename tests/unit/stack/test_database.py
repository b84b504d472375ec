"""Passwords of the ledger's roles, as a stack keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.roles import ROLES as DATABASE_ROLES
from stack.database import load_passwords


def test_passwords_are_drawn_once_and_kept_private(tmp_path: Path) -> None:
    """Every role has its own; the next start finds the same; nobody else reads the file."""
    first = load_passwords(tmp_path)
    assert first.keys() == DATABASE_ROLES.keys()
    assert len(set(first.values())) == len(first)
    assert load_passwords(tmp_path) == first
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_broken_password_file_is_not_replaced(tmp_path: Path) -> None:
    """New passwords would hide that the old ones are lost; the error does not quote the file."""
    (tmp_path / "database-passwords.json").write_text('{"turnout_api": hunter2')
    with pytest.raises(Exception, match="cannot be read") as refused:
        load_passwords(tmp_path)
    assert "hunter2" not in str(refused.value)
