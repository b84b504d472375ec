"""Key-exchange keys of simulated networks: two copies of one key, and what is no copy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from rich.pretty import pretty_repr

from chassis.development_keks import (
    DevelopmentKekError,
    KekFile,
    development_keks,
    hsm_kek_path,
    network_kek_path,
    read_development_kek,
)
from chassis.mac import check_value_text


def test_both_sides_get_one_key_each_network_its_own(tmp_path: Path) -> None:
    """Two private files a network with the same key; a second call changes nothing."""
    folder = tmp_path / "networks"
    development_keks(folder, ["vsim", "msim"])
    keys = [read_development_kek(network_kek_path(folder, name), name) for name in ("vsim", "msim")]
    assert keys == [
        read_development_kek(hsm_kek_path(folder, name), name) for name in ("vsim", "msim")
    ]
    assert keys[0] != keys[1]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    development_keks(folder, ["vsim", "msim"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert len(before) == 4


def test_the_networks_copy_leads(tmp_path: Path) -> None:
    """A copy of the HSM's that is lost or differs is made again from the network's."""
    development_keks(tmp_path, ["vsim"], random=lambda count: b"\x01" * count)
    ours, theirs = hsm_kek_path(tmp_path, "vsim"), network_kek_path(tmp_path, "vsim")
    ours.unlink()
    development_keks(tmp_path, ["vsim"])
    assert ours.read_bytes() == theirs.read_bytes()
    other = KekFile(network="vsim", check_value=check_value_text(bytes(32)), key="00" * 32)
    ours.write_bytes(msgspec.json.encode(other))
    development_keks(tmp_path, ["vsim"])
    assert read_development_kek(ours, "vsim").reveal() == b"\x01" * 32


def _change(**members: object) -> Callable[[Path], object]:
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | members))


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda path: path.unlink(), "cannot be read"),
    "open to others": (lambda path: path.chmod(0o644), "chmod 0600"),
    "another network's": (_change(network="msim"), "not of network vsim"),
    "another purpose": (_change(purpose="live"), "not a KEK file"),
    "another format": (_change(format=2), "not a KEK file"),
    "an unknown member": (_change(comment="x"), "not a KEK file"),
    "no hex": (_change(key="xy" * 32), "not a KEK file"),
    "cut": (_change(key="00" * 31), "damaged"),
    "another key": (_change(key="00" * 32), "damaged"),
    "empty": (lambda path: path.write_bytes(b""), "not a KEK file"),
}


@pytest.mark.parametrize(("spoil", "complaint"), SPOILED.values(), ids=SPOILED.keys())
def test_a_file_that_is_not_ours_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], complaint: str
) -> None:
    """The error names the file and shows no key."""
    development_keks(tmp_path, ["vsim"], random=lambda count: b"\x0a" * count)
    path = network_kek_path(tmp_path, "vsim")
    spoil(path)
    with pytest.raises(DevelopmentKekError, match=complaint) as raised:
        read_development_kek(path, "vsim")
    assert str(path) in str(raised.value)
    assert "0a0a" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_read_file_shows_no_key() -> None:
    """Not by any usual way of printing."""
    file = KekFile(network="vsim", check_value="ABCDEF", key="0a" * 32)
    assert "0a0a" not in f"{file}{file!r}{pretty_repr(file)}"
