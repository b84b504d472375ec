"""The audit chain: what it proves, and what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chassis.masking import mask_text
from chassis.secrets import Key
from hsm_sim.audit import DETAIL_CHARS_MAX, AuditError, AuditLine, AuditLog, mac_of, verify

KEY = Key(bytes(range(32)))
NOW_S = 1_767_323_045


def _log(tmp_path: Path, *, lines: int = 0, worker: int = 0) -> tuple[AuditLog, Path]:
    path = tmp_path / "audit.log"
    log = AuditLog(path, KEY, worker=worker)
    for index in range(lines):
        log.append([("key_created", {"id": f"card-{index}"})], at_s=NOW_S + index)
    return log, path


def _kinds(path: Path, head: tuple[int, str] | None = None) -> list[tuple[int, str]]:
    lines = path.read_bytes().splitlines()
    return [(finding.line, finding.kind) for finding in verify(lines, KEY, head=head)]


def test_a_whole_chain_has_no_findings(tmp_path: Path) -> None:
    """Lines count up, name the action, and verify with the last one as head."""
    log, path = _log(tmp_path, lines=4)
    head = log.append([("secrets_sealed", {"count": 2, "uid": 1003})], at_s=NOW_S)
    assert (head.sequence, head.action, head.detail) == (
        5,
        "secrets_sealed",
        {"count": 2, "uid": 1003},
    )
    assert _kinds(path, (head.sequence, head.mac)) == []
    assert path.stat().st_mode & 0o777 == 0o600


def test_lines_written_together_are_chained_too(tmp_path: Path) -> None:
    """A rotation writes all its lines at once; the last one is the head."""
    log, path = _log(tmp_path)
    head = log.append([("key_created", {}), ("key_destroyed", {})], at_s=NOW_S)
    assert (head.sequence, head.action) == (2, "key_destroyed")
    assert _kinds(path, (1, "0" * 64)) == [(2, "cut")]
    assert _kinds(path, (head.sequence, head.mac)) == []


def test_workers_share_one_chain(tmp_path: Path) -> None:
    """Two writers take turns on one file, each reading the head that the other left."""
    first, path = _log(tmp_path)
    second = AuditLog(path, KEY, worker=1)
    written = [log.append([("key_created", {})], at_s=NOW_S) for log in (first, second, first)]
    assert [(line.sequence, line.worker) for line in written] == [(1, 0), (2, 1), (3, 0)]
    assert _kinds(path) == []


def _edit(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b"card-1", b"card-9"), *lines[2:]]


def _drop(lines: list[bytes]) -> list[bytes]:
    return [lines[0], *lines[2:]]


def _swap(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], lines[3]]


def _repeat(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1], lines[1], *lines[2:]]


def _garble(lines: list[bytes]) -> list[bytes]:
    return [lines[0], b"{}", *lines[2:]]


def _cut_the_front(lines: list[bytes]) -> list[bytes]:
    return lines[1:]


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (_edit, [(2, "altered")]),
        (_drop, [(2, "gap")]),
        (_swap, [(2, "gap"), (3, "gap"), (4, "gap")]),
        (_repeat, [(3, "gap")]),
        (_garble, [(2, "unreadable"), (3, "gap")]),
        (_cut_the_front, [(1, "gap")]),
    ],
)
def test_tampering_is_found_where_it_happened(
    tmp_path: Path,
    tamper: Callable[[list[bytes]], list[bytes]],
    found: list[tuple[int, str]],
) -> None:
    """Edited, dropped, moved, repeated or garbled lines break the chain at their place."""
    _, path = _log(tmp_path, lines=4)
    assert _kinds(path) == []
    path.write_bytes(b"\n".join(tamper(path.read_bytes().splitlines())) + b"\n")
    assert _kinds(path) == found


def test_a_cut_tail_shows_against_a_known_head(tmp_path: Path) -> None:
    """A short chain is whole in itself; a head noted elsewhere gives it away."""
    log, path = _log(tmp_path, lines=3)
    head = log.append([("key_destroyed", {"id": "card-1"})], at_s=NOW_S)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert _kinds(path) == []
    assert _kinds(path, (head.sequence, head.mac)) == [(3, "cut")]
    path.write_bytes(b"")
    assert _kinds(path, (head.sequence, head.mac)) == [(0, "cut")]


def test_another_key_verifies_nothing(tmp_path: Path) -> None:
    """Without the audit key no line can be made or accepted."""
    _, path = _log(tmp_path, lines=2)
    lines = path.read_bytes().splitlines()
    assert [f.kind for f in verify(lines, Key(bytes(32)))] == ["altered", "altered"]


@pytest.mark.parametrize("whole_lines", [0, 2])
def test_a_torn_last_line_is_removed_and_said(tmp_path: Path, whole_lines: int) -> None:
    """What a crash left half-written was never confirmed; the chain goes on and tells of it."""
    log, path = _log(tmp_path, lines=whole_lines)
    with path.open("ab") as file:
        file.write(b'{"sequence":')
    line = log.append([("key_created", {"id": "card-9"})], at_s=NOW_S)
    assert line.sequence == whole_lines + 2
    assert b'"torn_line_removed","detail":{"bytes":12}' in path.read_bytes()
    assert _kinds(path) == []


def test_a_log_with_an_altered_end_is_not_continued(tmp_path: Path) -> None:
    """Appending behind a forged line would bless it."""
    log, path = _log(tmp_path, lines=2)
    content = path.read_bytes().replace(b"card-1", b"card-7")
    path.write_bytes(content)
    with pytest.raises(AuditError, match=r"audit\.log: the last line was altered"):
        log.append([("key_created", {})], at_s=NOW_S)
    assert path.read_bytes() == content


def test_a_log_without_lines_of_ours_is_not_continued(tmp_path: Path) -> None:
    """Kilobytes without a line feed are not our doing."""
    log, path = _log(tmp_path)
    path.write_bytes(b"x" * 20_000)
    with pytest.raises(AuditError, match="too long"):
        log.append([("key_created", {})], at_s=NOW_S)


def test_details_are_bounded(tmp_path: Path) -> None:
    """No detail can make a line longer than the tail that is read back."""
    log, path = _log(tmp_path)
    line = log.append([("key_created", {"id": "x" * 100_000})], at_s=NOW_S)
    assert len(str(line.detail["id"])) == DETAIL_CHARS_MAX
    assert isinstance(log.append([("key_created", {})], at_s=NOW_S), AuditLine)
    assert _kinds(path) == []


def test_a_head_is_never_masked_in_a_log() -> None:
    """The head is to be noted elsewhere, so the masking of card numbers must leave it whole."""
    line = AuditLine(sequence=1, at_s=NOW_S, worker=0, action="key_created", detail={}, previous="")
    heads = [mac_of(line, Key(number.to_bytes(32))) for number in range(500)]
    assert [mask_text(head) for head in heads] == heads


def test_a_head_is_told_unless_told_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log of the process has the head of an append, so that a cut tail shows; some are many."""
    log, _ = _log(tmp_path)
    told = log.append([("key_created", {})], at_s=NOW_S)
    untold = log.append([("cards_released", {})], at_s=NOW_S, tell=False)
    said = "".join(capsys.readouterr())
    assert told.mac in said
    assert untold.mac not in said
