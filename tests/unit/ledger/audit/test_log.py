"""The log through starts, crashes and changes beneath it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.audit.history import (
    NO_LINE,
    cut_torn_line,
    decode_line,
    last_digest,
    last_line,
    read_history,
    read_lines,
)
from ledger.audit.log import CHECKPOINT, HISTORY, LEVELS, AuditLog, AuditLogError, last_signed
from ledger.audit.merkle import fold, leaf_hash, range_hash
from ledger.audit.notes import ED25519, Checkpoint, NoteError, VerifierKey

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ORIGIN = "turnout.example/0"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = VerifierKey(ORIGIN, ED25519, SIGNER.public_key().public_bytes_raw())
LEAVES = [str(number).encode() for number in range(1_000)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


def _nodes(level: int, index: int) -> bytes:
    return fold(HASHES[index << level : (index + 1) << level])


def _open(folder: Path, origin: str = ORIGIN) -> AuditLog:
    return AuditLog.open(folder, origin, KEY, SIGNER)


def test_a_checkpoint_signs_the_tree_of_all_leaves(tmp_path: Path) -> None:
    """Published, kept in the history, and none while nothing has come."""
    log = _open(tmp_path)
    assert log.checkpoint(NOW) is None
    for size in (3, 700):
        log.append(LEAVES[log.size : size])
        note = log.checkpoint(NOW)
        assert note is not None
        note.check(KEY)
        expected = Checkpoint(ORIGIN, size, range_hash(_nodes, 0, size))
        assert Checkpoint.parse(note.text) == expected
        assert (tmp_path / CHECKPOINT).read_bytes() == bytes(note)
        assert last_signed(tmp_path, KEY) == expected
        assert log.checkpoint(NOW) is None
    assert [(line.at, line.size) for line in read_history(tmp_path / HISTORY)] == [
        (NOW, 3),
        (NOW, 700),
    ]


def test_a_start_goes_on_behind_the_last_signature(tmp_path: Path) -> None:
    """What was appended after it is asked for again, and the roots are as without a crash."""
    log = _open(tmp_path)
    log.append(LEAVES[:300])
    log.checkpoint(NOW)
    log.append(LEAVES[300:900])
    log.close()
    again = _open(tmp_path)
    assert (again.size, again.signed_size) == (300, 300)
    again.append(LEAVES[300:])
    note = again.checkpoint(NOW)
    assert note is not None
    assert Checkpoint.parse(note.text).root == range_hash(_nodes, 0, 1_000)


def test_lines_of_the_history_follow_each_other_over_a_start(tmp_path: Path) -> None:
    """Each names the digest of the one before, the first one none; each is sealed by the log."""
    for size in (10, 20, 30):
        log = _open(tmp_path)
        log.append(LEAVES[log.size : size])
        log.checkpoint(NOW)
        log.close()
    before = NO_LINE
    for at, line in read_lines(tmp_path / HISTORY):
        signed = decode_line(tmp_path / HISTORY, at, line)
        signed.check(line, before, KEY)
        with pytest.raises(NoteError, match="not the one that it was written after"):
            signed.check(line, sha256(before.encode()).hexdigest(), KEY)
        with pytest.raises(NoteError, match="not written as the log writes it"):
            signed.check(line + b" ", before, KEY)
        before = sha256(line).hexdigest()
    assert before == last_digest(tmp_path / HISTORY)


def test_a_note_signed_but_not_published_counts(tmp_path: Path) -> None:
    """A crash between history and publication: no second root is ever signed for its size."""
    log = _open(tmp_path)
    log.append(LEAVES[:10])
    first = log.checkpoint(NOW)
    log.append(LEAVES[10:20])
    log.checkpoint(NOW)
    log.close()
    assert first is not None
    (tmp_path / CHECKPOINT).write_bytes(bytes(first))
    assert _open(tmp_path).size == 20


def test_a_history_cut_short_is_mended(tmp_path: Path) -> None:
    """Its last line was not published; the lines before it stay."""
    log = _open(tmp_path)
    for size in (10, 20):
        log.append(LEAVES[log.size : size])
        log.checkpoint(NOW)
    log.close()
    path = tmp_path / HISTORY
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:50])
    assert _open(tmp_path).size == 20
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-1])
    cut_torn_line(path)
    assert path.read_bytes() == whole.splitlines(keepends=True)[0]
    assert [line.size for line in read_history(path)] == [10]


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _shorten(path: Path, at: int) -> None:
    path.write_bytes(path.read_bytes()[:at])


def test_what_a_log_publishes_everyone_may_read(tmp_path: Path) -> None:
    """Whatever the umask of its process: the witness is another user."""
    before = os.umask(0o077)
    try:
        log = _open(tmp_path / "log")
        log.append(LEAVES[:300])
        log.checkpoint(NOW)
        log.close()
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "log").rglob("*")}
    assert modes == {0o755, 0o644}
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: _flip(folder / LEVELS / "1" / f"{0:020d}.hashes", 5), "root signed at 600"),
        (lambda folder: _flip(folder / LEVELS / "0" / f"{0:020d}.hashes", 19_000), "root signed"),
        (lambda folder: _shorten(folder / LEVELS / "0" / f"{0:020d}.hashes", 18_000), "ends at"),
        (lambda folder: _flip(folder / CHECKPOINT, 20), "does not fit the text|line 2"),
        (lambda folder: _flip(folder / HISTORY, 60), "no signed note at byte 0|does not fit|line"),
    ],
    ids=["level 1", "right edge", "short", "checkpoint", "history"],
)
def test_nothing_is_signed_over_a_change(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    """Whatever of the files the start depends on is changed, the log does not open."""
    log = _open(tmp_path)
    log.append(LEAVES[:600])
    log.checkpoint(NOW)
    log.close()
    spoil(tmp_path)
    with pytest.raises(AuditLogError, match=reason):
        _open(tmp_path)


def test_a_log_keeps_its_name(tmp_path: Path) -> None:
    """Two logs in one folder would be one lie."""
    log = _open(tmp_path)
    log.append(LEAVES[:1])
    log.checkpoint(NOW)
    log.close()
    with pytest.raises(AuditLogError, match="is of another log"):
        _open(tmp_path, "turnout.example/1")


def test_no_history_is_no_line(tmp_path: Path) -> None:
    """Neither a file that is missing nor an empty one."""
    path = tmp_path / HISTORY
    assert last_line(path) is None
    cut_torn_line(path)
    assert list(read_history(path)) == []
    path.touch()
    assert last_line(path) is None
