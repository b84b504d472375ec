"""The witness beside a log that grows, forgets, forks and lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger.audit.keys import make_pair
from ledger.audit.merkle import consistency_proof, fold, leaf_hash, range_hash
from ledger.audit.notes import COSIGNATURE, ED25519, Checkpoint, Note, cosign, sign_note
from ledger.audit.witness import WITNESSED, Witness, WitnessError, judge

LOG = make_pair("turnout.example/0", ED25519, bytes(range(32)))
STRANGER = make_pair("turnout.example/0", ED25519, bytes(32))
WITNESS = make_pair("witness", COSIGNATURE, bytes(range(32, 64)))
NOW_S = 1_900_000_000


class _Log:
    """A log of so many leaves; `forked_at` changes that leaf."""

    def __init__(self, forked_at: int = -1) -> None:
        self.hashes = [
            leaf_hash(b"forged" if number == forked_at else str(number).encode())
            for number in range(64)
        ]

    def _nodes(self, level: int, index: int) -> bytes:
        return fold(self.hashes[index << level : (index + 1) << level])

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint("turnout.example/0", size, range_hash(self._nodes, 0, size))

    def note(self, size: int) -> bytes:
        return bytes(sign_note(self.checkpoint(size).text, LOG.public, LOG))

    def prove(self, old: int, new: int) -> Sequence[bytes]:
        return consistency_proof(self._nodes, old, new)


HONEST, FORKED = _Log(), _Log(forked_at=5)


def _witness(folder: Path) -> Witness:
    return Witness(folder, LOG.public, WITNESS.public, WITNESS)


def test_a_log_that_grows_is_cosigned(tmp_path: Path) -> None:
    """Each new checkpoint once, also across a restart of the witness."""
    for size in (3, 10, 64):
        witness = _witness(tmp_path)
        assert witness.look(HONEST.note(size), HONEST.prove, NOW_S)
        assert not witness.look(HONEST.note(size), HONEST.prove, NOW_S + 1)
        note = Note.parse((tmp_path / WITNESSED).read_bytes())
        note.check(LOG.public)
        assert note.check(WITNESS.public) == NOW_S
        assert Checkpoint.parse(note.text).size == size


@pytest.mark.parametrize(
    ("seen", "log", "size", "reason"),
    [
        (10, HONEST, 9, "had 10 leaves and shows 9"),
        (10, FORKED, 10, "another past of 10 leaves"),
        (10, FORKED, 20, "does not hold the 10 seen before"),
    ],
    ids=["forgets", "rewrites", "forks"],
)
def test_a_log_that_changes_its_past_is_not(
    tmp_path: Path, seen: int, log: _Log, size: int, reason: str
) -> None:
    """The signature is the log's own, and still nothing is cosigned or published."""
    witness = _witness(tmp_path)
    witness.look(HONEST.note(seen), HONEST.prove, NOW_S)
    published = (tmp_path / WITNESSED).read_bytes()
    with pytest.raises(WitnessError, match=reason):
        witness.look(log.note(size), log.prove, NOW_S)
    assert (tmp_path / WITNESSED).read_bytes() == published
    assert witness.look(HONEST.note(64), HONEST.prove, NOW_S)  # the honest one may go on


def test_a_log_cannot_take_another_s_place(tmp_path: Path) -> None:
    """Neither by signing with another key nor by another name under the same key."""
    witness = _witness(tmp_path)
    forged = bytes(sign_note(HONEST.checkpoint(3).text, STRANGER.public, STRANGER))
    with pytest.raises(WitnessError, match="not signed by"):
        witness.look(forged, HONEST.prove, NOW_S)
    other = Checkpoint("other", 3, HONEST.checkpoint(3).root)
    with pytest.raises(WitnessError, match="calls itself other now"):
        judge(HONEST.checkpoint(3), other, HONEST.prove)


def test_signatures_that_nobody_asked_for_are_left_out(tmp_path: Path) -> None:
    """What the witness publishes carries the log's signature and its own."""
    note = cosign(Note.parse(HONEST.note(3)), WITNESS.public, STRANGER, NOW_S)
    _witness(tmp_path).look(bytes(note), HONEST.prove, NOW_S)
    published = Note.parse((tmp_path / WITNESSED).read_bytes())
    assert [name for name, _, _ in published.signatures] == ["turnout.example/0", "witness"]
    assert published.check(WITNESS.public) == NOW_S


def test_a_witness_trusts_no_memory_but_its_own(tmp_path: Path) -> None:
    """What stands there without its cosignature was put there by somebody else."""
    (tmp_path / WITNESSED).write_bytes(HONEST.note(3))
    with pytest.raises(WitnessError, match="not signed by witness"):
        _witness(tmp_path)
