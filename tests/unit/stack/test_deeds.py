"""Under which name operators are kept."""

from __future__ import annotations

import os
import pwd

import pytest

from stack.deeds import login_name


def test_the_record_names_who_is_at_the_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind sudo the one who used it; nobody else can claim to be behind sudo."""
    monkeypatch.setenv("SUDO_USER", "ada")
    me = pwd.getpwuid(os.getuid()).pw_name
    assert login_name() == ("ada" if os.geteuid() == 0 else me)
    monkeypatch.delenv("SUDO_USER")
    assert login_name() == me
