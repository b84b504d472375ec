"""The archive in a bucket, over the S3 protocol, against a server in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ledger.archive.errors import ArchiveError, StoreError
from ledger.archive.manifest import FRAMES, MANIFEST, RECORDS, object_name
from ledger.archive.store import BucketStore
from ledger.stream.segments.files import segment_path
from tests.support.archiving import SealedStream
from tests.support.s3_server import BUCKET, ENVIRONMENT, S3Server, s3_server
from turnout import main


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """One server for all tests here; each has a prefix of its own."""
    with s3_server() as running:
        yield running


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server takes for credentials, where operators put theirs."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_an_object_is_stored_once_and_never_replaced(server: S3Server) -> None:
    """The second to store an object of a name is told so, and what is there stays."""
    store = server.store("once")
    assert store.get("0/a") is None
    assert store.put_new("0/a", b"first")
    assert not store.put_new("0/a", b"second")
    assert store.get("0/a") == b"first"
    assert (store.names("0/"), store.names("1/")) == (["0/a"], [])
    assert store.place("0/a") == f"s3://{BUCKET}/once/0/a"


def test_a_bucket_holds_the_archive_as_a_folder_does(server: S3Server, tmp_path: Path) -> None:
    """The objects in a bucket are those of a folder; a second run adds nothing."""
    stream = SealedStream.make(tmp_path / "data")
    store = server.store("whole")
    assert stream.run(store).segments == 3
    assert len(store.names("0/")) == 9
    assert stream.verify(store)[0] == []
    assert stream.run(store).segments == 0


@pytest.mark.parametrize("kind", [RECORDS, FRAMES, MANIFEST])
def test_a_flipped_byte_in_a_bucket_is_named_by_its_url(
    server: S3Server, tmp_path: Path, kind: str
) -> None:
    """An object that somebody replaced is found by its digest or signature."""
    stream = SealedStream.make(tmp_path / "data")
    store = server.store(f"flip-{kind}")
    stream.run(store)
    name = object_name(0, 130, kind)
    data = bytearray(store.get(name) or b"")
    data[len(data) // 2] ^= 1
    server.replace(f"flip-{kind}", name, bytes(data))
    found, _ = stream.verify(store)
    assert found
    assert found[0].startswith(f"s3://{BUCKET}/flip-{kind}/{name}: ")


def test_a_foreign_object_in_a_bucket_stops_the_run_and_stays(
    server: S3Server, tmp_path: Path
) -> None:
    """Another's object under a segment's name is not replaced, and its segment not archived."""
    stream = SealedStream.make(tmp_path / "data", counts=(50,))
    store = server.store("foreign")
    store.put_new(object_name(0, 0, RECORDS), b"somebody's")
    with pytest.raises(ArchiveError, match="of segment 0"):
        stream.run(store)
    assert store.get(object_name(0, 0, RECORDS)) == b"somebody's"
    assert store.get(object_name(0, 0, MANIFEST)) is None


def test_the_commands_work_on_a_bucket(server: S3Server, tmp_path: Path) -> None:
    """Run, verify, status and restore take the bucket that the settings name."""
    stream = SealedStream.make(tmp_path / "data")
    url = f"s3://{BUCKET}/commands"
    options = ["--json", "--data-dir", str(stream.data_dir), "--set", f"archive.url={url}"]
    options += ["--set", f"archive.s3_endpoint={server.endpoint}"]
    documents = {}
    for words in (["run"], ["verify"], ["status"], ["restore", str(tmp_path / "back")]):
        result = CliRunner().invoke(main, ["archive", *words, *options])
        assert result.exit_code == 0, result.output
        documents[words[0]] = json.loads(result.stdout)
    assert documents["run"]["archive"] == documents["status"]["archive"] == url
    assert (documents["verify"]["ok"], documents["verify"]["segments"]) == (True, 3)
    for first in stream.firsts:
        back = segment_path(tmp_path / "back", first)
        assert back.read_bytes() == segment_path(stream.stream, first).read_bytes()
    assert not (stream.data_dir / "archive").exists()


def test_a_bucket_that_is_not_there_or_forbidden_is_told(server: S3Server) -> None:
    """Neither is taken for an empty archive when something is to be stored."""
    store = BucketStore("s3://nobodys/archive", server.settings())
    with pytest.raises(StoreError, match=r"cannot store s3://nobodys/archive/0/a"):
        store.put_new("0/a", b"")
    with pytest.raises(StoreError, match="cannot list"):
        store.names("0/")


def test_a_server_that_went_away_ends_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """Without the server a run says so in a line; with one, the next run archives all."""
    stream = SealedStream.make(tmp_path / "data", counts=(50, 60))
    with s3_server() as gone:
        gone.stop()
        store = BucketStore(f"s3://{BUCKET}/away", gone.settings(s3_retries=1))
        with pytest.raises(StoreError, match=r"cannot read s3://.*/manifest\.note"):
            stream.run(store)
    with s3_server() as server:
        assert stream.run(server.store("away")).segments == 2
        assert stream.verify(server.store("away"))[0] == []


@pytest.mark.parametrize(
    ("url", "endpoint", "reason"),
    [
        ("s3:///prefix", "", "is not s3://bucket/prefix"),
        ("s3://bucket/a?b", "", "is not s3://bucket/prefix"),
        ("s3://bucket", "http://store.example:9000", "it needs https"),
        ("s3://bucket", "store.example:9000", "is not https://host:port"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(
    server: S3Server, url: str, endpoint: str, reason: str
) -> None:
    """A bucket without a name, and records in the clear to another machine, are refused."""
    with pytest.raises(StoreError, match=reason):
        BucketStore(url, server.settings(s3_endpoint=endpoint))
