"""The bundled dialect with MACs is a dialect, and differs in nothing else."""

from __future__ import annotations

from pathlib import Path

import msgspec

from network_sim.authenticated import write_authenticated_dialect
from switch.iso8583 import load_dialect


def test_it_wants_macs_and_is_the_same_otherwise(tmp_path: Path) -> None:
    """Same elements, same policy but for the MAC, a name of its own."""
    bundled, made = load_dialect("net87b"), load_dialect(str(write_authenticated_dialect(tmp_path)))
    assert (bundled.policy.mac, made.policy.mac) == ("none", "cmac")
    assert msgspec.structs.replace(made.policy, mac="none") == bundled.policy
    assert made.elements.keys() == bundled.elements.keys()
    assert made.name != bundled.name


def test_every_process_can_read_it(tmp_path: Path) -> None:
    """Processes of a stack have users of their own."""
    assert write_authenticated_dialect(tmp_path).stat().st_mode & 0o777 == 0o644
