"""`turnout audit` over a stream whose first records live in the archive alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ledger.archive.manifest import RECORDS, object_name
from ledger.ids import public_id
from ledger.stream.segments.files import segment_path
from ledger.stream.segments.trim import NAME
from tests.support.archiving import SealedStream
from turnout import main


@pytest.fixture
def stream(tmp_path: Path) -> SealedStream:
    """Records 0 to 206 are in the archive alone, 207 to 406 in the stream, too."""
    made = SealedStream.make(tmp_path / "data")
    made.run()
    made.trim()
    return made


def _audit(stream: SealedStream, *words: str, status: int = 0) -> Any:
    words = ("audit", *words, "--json", "--data-dir", str(stream.data_dir))
    result = CliRunner().invoke(main, words)
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if result.stdout else result.stderr


def test_all_is_verified_with_the_archive(stream: SealedStream) -> None:
    """Every record is held to what was signed, those of the archive as well."""
    document = _audit(stream, "verify", "all", "--archive")
    assert (document["ok"], document["checked"]["events"]) == (True, 407)
    assert document["archived"]["unread"] == 0
    assert _audit(stream, "verify", "all", "--archive", str(stream.archive))["ok"]


def test_without_the_archive_it_says_what_it_left_out(stream: SealedStream) -> None:
    """What is there is verified, by the kept hashes below; the rest is named, and where it is."""
    document = _audit(stream, "verify", "all")
    assert (document["ok"], document["checked"]["events"]) == (True, 200)
    archived = document["archived"]
    assert (archived["read"], archived["unread"], archived["first_offset"]) == (False, 207, 207)
    words = ["audit", "verify", "all", "--data-dir", str(stream.data_dir)]
    told = CliRunner().invoke(main, words).stdout
    assert f"records before 207 are in the archive, {stream.archive}, and were not read" in told


def test_a_changed_record_of_the_archive_is_named(stream: SealedStream) -> None:
    """A flipped byte in an object is found, with the object's name."""
    path = stream.archive / object_name(0, 130, RECORDS)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    document = _audit(stream, "verify", "all", "--archive", status=1)
    assert [one["where"] for one in document["findings"]] == [str(path)]


def test_segments_that_went_without_a_word_are_named(stream: SealedStream) -> None:
    """Nobody else's word, and no word at all, explains that records are not there."""
    note = (stream.stream / NAME).read_text()
    (stream.stream / NAME).write_text(note.replace("207", "206"))
    found = _audit(stream, "verify", "all", "--archive", status=1)["findings"]
    assert found[0]["where"].endswith(NAME)
    (stream.stream / NAME).unlink()
    found = _audit(stream, "verify", "all", "--archive", status=1)["findings"]
    assert "the stream began with 207 more" in found[0]["detail"]


def test_more_than_was_signed_for_is_missed(stream: SealedStream) -> None:
    """A segment that went besides those of the head is named, archive or not."""
    segment_path(stream.stream, 207).unlink()
    for words in ([], ["--archive"]):
        found = _audit(stream, "verify", "all", *words, status=1)["findings"]
        assert "the stream began with 200 more" in found[0]["detail"]


def test_a_record_of_the_archive_is_proved(stream: SealedStream) -> None:
    """Inclusion and consistency reach below the head; without the archive they say why not."""
    document = _audit(stream, "verify", "inclusion", "150", "--archive")
    name = object_name(0, 130, RECORDS)
    assert document["where"] == f"{stream.archive / name}: record 150"
    refused = _audit(stream, "verify", "inclusion", "150", status=1)
    assert "records before 207 are in the archive: see --archive" in refused
    assert _audit(stream, "verify", "inclusion", "300")["index"] == 300
    sizes = _audit(stream, "verify", "consistency", "135")
    assert (sizes["old_size"], sizes["new_size"]) == (135, 407)


def test_a_bundle_is_made_of_the_archive_alone(stream: SealedStream, tmp_path: Path) -> None:
    """A payment whose records left the stream is proved as any other, with a public key."""
    payment, path = public_id("pi", (42).to_bytes(16)), tmp_path / "42.json"
    refused = _audit(stream, "bundle", payment, "-o", str(path), status=1)
    assert "records before 207 are in the archive: see --archive" in refused
    made = _audit(stream, "bundle", payment, "-o", str(path), "--archive")
    assert (made["payment"], made["events"]) == (payment, 1)
    key = (stream.data_dir / "audit" / "log.pub").read_text().strip()
    words = ["audit", "verify", "bundle", str(path), "--key", key, "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["size"] == 407


def test_the_tiles_of_the_whole_log_need_the_archive(stream: SealedStream, tmp_path: Path) -> None:
    """Entries are exported whole or not at all."""
    refused = _audit(stream, "export", str(tmp_path / "half"), status=1)
    assert "see --archive" in refused
    assert _audit(stream, "export", str(tmp_path / "whole"), "--archive")["size"] == 407


def test_what_the_archive_has_forgotten_is_told(stream: SealedStream, tmp_path: Path) -> None:
    """Behind its retention hashes are all there is: roots are verified, and that much is said."""
    stream.expire()
    document = _audit(stream, "verify", "all", "--archive")
    assert (document["ok"], document["checked"]["events"]) == (True, 200)
    assert (document["archived"]["read"], document["archived"]["unread"]) == (True, 207)
    words = ["audit", "verify", "all", "--archive", "--data-dir", str(stream.data_dir)]
    told = CliRunner().invoke(main, words).stdout
    assert "records before 207 are no longer in the archive" in told
    refused = _audit(stream, "verify", "inclusion", "150", "--archive", status=1)
    assert "records before 207 are no longer in the archive" in refused
    bundle = ["bundle", public_id("pi", (42).to_bytes(16)), "-o", str(tmp_path / "b"), "--archive"]
    assert "no longer in the archive" in _audit(stream, *bundle, status=1)


def test_an_archive_of_somebody_else_is_not_believed(stream: SealedStream, tmp_path: Path) -> None:
    """Objects are held to the archive's key, and a folder without any is told."""
    other = SealedStream.make(tmp_path / "other")
    other.run()
    found = _audit(stream, "verify", "all", "--archive", str(other.archive), status=1)["findings"]
    assert found[0]["where"].startswith(str(other.archive))
    empty = _audit(stream, "verify", "all", "--archive", str(tmp_path / "none"), status=1)
    assert "ends before record 0" in empty["findings"][0]["detail"]


def test_an_address_that_cannot_be_used_ends_with_3(stream: SealedStream) -> None:
    """An archive that cannot be asked is no finding."""
    assert "is not s3://" in _audit(stream, "verify", "all", "--archive", "s3://?", status=3)
    key = ["--archive-key", "nonsense"]
    assert "nonsense" in _audit(stream, "verify", "all", "--archive", *key, status=3)
