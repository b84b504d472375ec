"""The watching witness over a real log's files: it begins, goes on, refuses, and says so once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.audit.folders import witness_folder
from ledger.audit.keys import KeyPair, load_or_make, load_public
from ledger.audit.log import CHECKPOINT, LEVELS, AuditLog
from ledger.audit.notes import ED25519, Note
from ledger.audit.service import log_key
from ledger.audit.witness import WITNESSED
from ledger.audit.witness_service import Watching

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class _Place:
    """A log and its witness in one folder each."""

    def __init__(self, folder: Path) -> None:
        self.audit, self.witness = folder / "audit", folder / "witness"
        self.audit.mkdir(exist_ok=True)
        self.witness.mkdir(exist_ok=True)
        self.pair: KeyPair = load_or_make(self.audit / "log", "turnout-test/0", ED25519)
        self.log = self.open()

    def open(self) -> AuditLog:
        public = self.pair.public
        return AuditLog.open(self.audit / "0", public.name, public, self.pair)

    def grow(self, size: int, leaf: bytes = b"leaf") -> None:
        self.log.append([leaf] * (size - self.log.size))
        self.log.checkpoint(NOW)

    def watching(self) -> Watching:
        return Watching(self.audit, self.audit / "0", self.witness)


@pytest.fixture
def place(tmp_path: Path) -> _Place:
    """A log without leaves."""
    return _Place(tmp_path)


def test_a_growing_log_is_cosigned_across_restarts(place: _Place) -> None:
    """Nothing before the first checkpoint; then each new one, once."""
    watching = place.watching()
    watching.look()
    assert (watching.cosigned_total, watching.refused) == (0, "")
    for size in (5, 300):
        place.grow(size)
        watching.look()
        watching.look()
    assert (watching.cosigned_total, watching.refused) == (2, "")
    again = place.watching()
    again.look()
    assert (again.cosigned_total, again.refused) == (0, "")
    note = Note.parse((place.witness / WITNESSED).read_bytes())
    note.check(load_public(place.witness / "witness.pub"))
    note.check(place.pair.public)


def test_a_log_begun_anew_is_refused(place: _Place) -> None:
    """Same key, same name, another past: shorter, and then as long."""
    place.grow(10)
    watching = place.watching()
    watching.look()
    for path in [*(place.audit / "0" / LEVELS).rglob("*.hashes"), place.audit / "0" / CHECKPOINT]:
        path.unlink()
    (place.audit / "0" / "history.jsonl").unlink()
    watching.look()
    assert watching.refused == "the log's checkpoint is gone"
    place.log = place.open()
    for size, reason in ((4, "had 10 leaves and shows 4"), (10, "another past of 10 leaves")):
        place.grow(size, b"forged")
        watching.look()
        assert reason in watching.refused
    assert watching.cosigned_total == 1


def test_another_key_in_the_log_s_place_is_refused(place: _Place) -> None:
    """The witness believes the key it met first."""
    place.grow(3)
    watching = place.watching()
    watching.look()
    (place.audit / "log.key").unlink()
    place.pair = load_or_make(place.audit / "log", "turnout-test/0", ED25519)
    place.log.key, place.log._signer = place.pair.public, place.pair
    place.grow(4)
    for one in (watching, place.watching()):
        one.look()
        assert "not signed by turnout-test/0" in one.refused


def test_levels_that_prove_nothing_are_refused(place: _Place) -> None:
    """A log cannot be cosigned whose hashes are not there."""
    place.grow(3)
    watching = place.watching()
    watching.look()
    place.grow(600)
    (place.audit / "0" / LEVELS / "0" / f"{0:020d}.hashes").write_bytes(b"")
    watching.look()
    assert "ends at byte 0" in watching.refused


def test_a_name_is_made_once(tmp_path: Path) -> None:
    """Without a configured one it is like no other, and stays."""
    first = log_key(tmp_path, "").public
    assert first.name.startswith("turnout-")
    assert log_key(tmp_path, "").public == first
    for name in ("", "turnout.example/named"):
        folder = tmp_path / f"other{name[:3]}"
        folder.mkdir()
        other = log_key(folder, name).public.name
        assert other != first.name
        assert name in {"", other}


def test_the_witness_may_live_elsewhere(tmp_path: Path) -> None:
    """A folder of its own is better than one beside the log."""
    assert witness_folder(tmp_path, "") == tmp_path / "witness"
    assert witness_folder(tmp_path, "/mnt/other") == Path("/mnt/other")
