"""`turnout archive` as it is typed, on a data directory without a stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ledger.archive.manifest import RECORDS, object_name
from ledger.ids import public_id
from tests.support.archiving import SealedStream
from turnout import main


@pytest.fixture
def stream(tmp_path: Path) -> SealedStream:
    """A data directory with three sealed segments."""
    return SealedStream.make(tmp_path / "data")


def _run(stream: SealedStream, *words: str, status: int = 0) -> Any:
    words = ("archive", *words, "--json", "--data-dir", str(stream.data_dir))
    result = CliRunner().invoke(main, words)
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if status < 3 else result.output


def test_run_verify_and_status_tell_what_they_did(stream: SealedStream) -> None:
    """What waits is archived, is as it was signed, and is told."""
    assert (_run(stream, "status")["segments"], _run(stream, "status")["waiting"]) == (0, 3)
    done = _run(stream, "run")
    assert (done["segments"], done["events"], done["waiting_for_signature"]) == (3, 407, 0)
    verified = _run(stream, "verify")
    assert (verified["ok"], verified["segments"], verified["checked"]["events"]) == (True, 3, 407)
    status = _run(stream, "status")
    assert (status["segments"], status["waiting"], status["end_offset"]) == (3, 0, 407)
    assert status["key"].startswith("turnout.example/0/archive+")


def test_verify_names_what_was_changed_and_ends_with_1(stream: SealedStream) -> None:
    """A flipped byte is a finding: the file is named, the exit status says so."""
    _run(stream, "run")
    path = stream.archive / object_name(0, stream.firsts[1], RECORDS)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    document = _run(stream, "verify", status=1)
    assert [one["where"] for one in document["findings"]] == [str(path)]


def test_an_archive_elsewhere_is_verified_with_two_public_keys(
    stream: SealedStream, tmp_path: Path
) -> None:
    """A copy of the objects is all that a stranger needs beside the keys."""
    _run(stream, "run")
    copy, keys = tmp_path / "copy", tmp_path / "keys"
    stream.archive.rename(copy)
    keys.mkdir()
    for path in (
        stream.data_dir / "archiving" / "archive.pub",
        stream.data_dir / "audit" / "log.pub",
    ):
        path.rename(keys / path.name)
    words = ["--archive", str(copy), "--key", str(keys / "archive.pub")]
    empty = SealedStream(tmp_path / "nothing", [])
    document = _run(empty, "verify", *words, "--log-key", str(keys / "log.pub"))
    assert document["checked"]["events"] == 407


def test_without_an_audit_log_nothing_is_archived(tmp_path: Path) -> None:
    """A data directory without the log's key cannot be archived, and is told so in a line."""
    output = _run(SealedStream(tmp_path, []), "run", status=3)
    assert "there is no audit log here" in output
    assert not (tmp_path / "archive").exists()


def test_restore_writes_segments_and_tells_which(stream: SealedStream, tmp_path: Path) -> None:
    """A range is restored in whole segments; one that is not there ends with 1."""
    _run(stream, "run")
    done = _run(stream, "restore", str(tmp_path / "back"), "--from", "140", "--until", "150")
    assert (done["segments"], done["first_offset"], done["end_offset"]) == (1, 130, 207)
    assert len(list((tmp_path / "back").iterdir())) == 1
    words = ["archive", "restore", str(tmp_path / "more"), "--from", "407"]
    refused = CliRunner().invoke(main, [*words, "--data-dir", str(stream.data_dir)])
    assert refused.exit_code == 1
    assert "the archive holds the records before 407" in refused.stderr


def test_a_run_says_why_nothing_leaves_the_stream(stream: SealedStream) -> None:
    """Unless a setting says so nothing is removed; then a stack must tell how far consumers are."""
    assert "archive.stream_days is 0" in _run(stream, "run")["stream"]["kept"]
    kept = _run(stream, "run", "--set", "archive.stream_days=1e-9")["stream"]
    assert kept["removed_segments"] == []
    assert "no stack runs on this data directory" in kept["kept"]


def test_a_run_says_why_nothing_leaves_the_archive(stream: SealedStream) -> None:
    """Nothing is forgotten by itself, nor while stream or tables may have it."""
    assert "archive.retention_days is 0" in _run(stream, "run")["archive_retention"]["kept"]
    for words, why in (
        (
            ("archive.stream_days=2", "archive.retention_days=2"),
            "must be above archive.stream_days",
        ),
        (("archive.retention_days=1e-9",), "what the tables still have: no stack runs"),
    ):
        options = [word for one in words for word in ("--set", one)]
        for dry in ((), ("--dry-run",)):
            kept = _run(stream, "run", *dry, *options)["archive_retention"]
            assert (kept["removed_segments"], why in kept["kept"]) == ([], True), kept
    assert _run(stream, "verify")["segments"] == 3


def test_a_dry_run_makes_not_even_a_key(stream: SealedStream) -> None:
    """It says how much waits, and leaves nothing behind."""
    before = sorted(stream.data_dir.rglob("*"))
    document = _run(stream, "run", "--dry-run", "--set", "archive.stream_days=1e-9")
    assert (document["segments"], document["dry_run"]) == (3, True)
    assert "nothing was archived yet" in document["stream"]["kept"]
    assert sorted(stream.data_dir.rglob("*")) == before


def test_holds_are_added_listed_and_released(stream: SealedStream) -> None:
    """Each deed is kept with its operator and reason; a hold is released once."""
    options = ["--operator", "ada", "--reason", "case 7"]
    payment, merchant = public_id("pi", bytes(16)), public_id("mer", bytes(16))
    added = _run(stream, "hold", "add", "--intent", payment, *options)
    assert (added["hold"], added["intent"], added["operator"]) == (1, payment, "ada")
    assert _run(stream, "hold", "add", "--merchant", merchant, *options)["merchant"] == merchant
    span = _run(stream, "hold", "add", "--range", "2026-01-01..2026-01-02T01:00+01:00", *options)
    assert (span["begin"], span["end"]) == (
        "2026-01-01T00:00:00+00:00",
        "2026-01-02T00:00:00+00:00",
    )
    assert [one["hold"] for one in _run(stream, "hold", "list")["holds"]] == [1, 2, 3]
    _run(stream, "hold", "release", "2", "--reason", "settled", "--operator", "bo")
    assert [one["hold"] for one in _run(stream, "hold", "list")["holds"]] == [1, 3]
    deeds = _run(stream, "hold", "list", "--all")["holds"]
    assert [(one["hold"], one["action"]) for one in deeds] == [
        (1, "add"),
        (2, "add"),
        (3, "add"),
        (2, "release"),
    ]
    words = ["archive", "hold", "release", "2", "--reason", "again"]
    refused = CliRunner().invoke(main, [*words, "--data-dir", str(stream.data_dir)])
    assert (refused.exit_code, "there is no legal hold 2" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "name one of --merchant, --intent and --range"),
        (["--range", "2026-01-02..2026-01-01"], "must begin before it ends"),
        (["--range", "yesterday"], "must be FROM..UNTIL"),
        (["--intent", "pi_x"], "--intent"),
        (["--range", "2026-01-01..2026-01-02", "--merchant", public_id("mer", bytes(16))], "one"),
    ],
)
def test_a_hold_on_nothing_definite_is_refused(
    stream: SealedStream, words: list[str], reason: str
) -> None:
    """What is held must be said, once, in a form that means something."""
    line = ["archive", "hold", "add", *words, "--reason", "r"]
    refused = CliRunner().invoke(main, [*line, "--data-dir", str(stream.data_dir)])
    assert (refused.exit_code, reason in refused.output) == (2, True)
    assert not (stream.data_dir / "archiving").exists()
