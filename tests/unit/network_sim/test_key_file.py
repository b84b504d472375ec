"""MAC keys kept in a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from chassis.secrets import Key
from network_sim.key_file import load_keys, save_keys
from network_sim.keys import KeyServer

NOW_US = 1_795_331_402_000_000


def _keys() -> KeyServer:
    return KeyServer(Key(bytes(range(32))), random=os.urandom)


def test_the_next_network_has_the_keys(tmp_path: Path) -> None:
    """Readable by its owner alone; written over what was there, however long."""
    path = tmp_path / "vsim.keys"
    path.write_text("x" * 10_000)
    path.chmod(0o600)
    keys = _keys()
    keys.taken_over(keys.mint(NOW_US).key_id, NOW_US)
    save_keys(keys, path)
    successor = _keys()
    load_keys(successor, path)
    assert successor.current is not None
    assert keys.current is not None
    assert successor.current.key_id == keys.current.key_id
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [None, b""])
def test_without_kept_keys_there_are_none(tmp_path: Path, content: bytes | None) -> None:
    """No file, or an empty one."""
    path = tmp_path / "vsim.keys"
    if content is not None:
        path.write_bytes(content)
    keys = _keys()
    load_keys(keys, path)
    assert (keys.current, keys.next) == (None, None)


def test_a_damaged_file_is_told_and_left_alone(tmp_path: Path) -> None:
    """The acquirer will ask for a new key."""
    path = tmp_path / "vsim.keys"
    path.write_bytes(b'[{"state":"cur')
    keys = _keys()
    with capture_logs() as logs:
        load_keys(keys, path)
    assert keys.current is None
    assert logs[0]["reason"] == "not what was kept"
