"""Every change to any object of a small archive is found, and the object named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ledger.archive.manifest import FRAMES, MANIFEST, RECORDS, Manifest, object_name, sign_manifest
from ledger.archive.store import FolderStore
from ledger.audit.keys import make_pair
from ledger.audit.notes import ED25519, Note
from tests.support.archiving import SealedStream


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> SealedStream:
    """An archive of three segments; not to be changed."""
    stream = SealedStream.make(tmp_path_factory.mktemp("archive") / "data")
    assert stream.run().segments == 3
    return stream


@pytest.fixture
def stream(pristine: SealedStream, tmp_path: Path) -> SealedStream:
    """A copy of it."""
    shutil.copytree(pristine.data_dir, tmp_path / "data")
    for path in (tmp_path / "data" / "archive").rglob("*.*"):
        path.chmod(0o600)
    return SealedStream(tmp_path / "data", pristine.firsts)


def _object(stream: SealedStream, number: int, kind: str) -> Path:
    return stream.archive / object_name(0, stream.firsts[number], kind)


def test_an_archive_is_as_it_was_signed(pristine: SealedStream) -> None:
    """Nothing is found in an archive that nobody touched; every segment and record was read."""
    found, verified = pristine.verify()
    assert found == []
    assert (verified.segments, verified.records) == (3, 407)


@pytest.mark.parametrize("kind", [RECORDS, FRAMES, MANIFEST])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_flipped_byte_is_found_wherever_it_stands(
    stream: SealedStream, kind: str, number: int
) -> None:
    """A byte at the beginning, the end or anywhere between convicts its object, by name."""
    path = _object(stream, number, kind)
    data = path.read_bytes()
    for at in {0, 4, len(data) // 3, len(data) // 2, len(data) - 5, len(data) - 1}:
        flipped = bytearray(data)
        flipped[at] ^= 1
        path.write_bytes(flipped)
        found, _ = stream.verify(catalog=False)
        assert any(one.startswith(str(path)) for one in found), at
    path.write_bytes(data)
    assert stream.verify()[0] == []


@pytest.mark.parametrize("kind", [RECORDS, FRAMES, MANIFEST])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_object_that_was_removed_is_missed(stream: SealedStream, kind: str, number: int) -> None:
    """Each object that is gone is named, the last manifest by means of the catalog."""
    path = _object(stream, number, kind)
    path.unlink()
    assert f"{path}: is missing" in stream.verify()[0]


def test_a_segment_taken_out_is_missed(stream: SealedStream) -> None:
    """A gap tells of a segment that was taken out, even without the catalog."""
    shutil.rmtree(_object(stream, 1, MANIFEST).parent)
    found, _ = stream.verify(catalog=False)
    assert found == [f"{_object(stream, 2, MANIFEST)}: begins at record 207, and 130 should follow"]


def test_a_segment_cut_off_the_end_is_missed_where_it_was_archived(stream: SealedStream) -> None:
    """The catalog knows of the last segment when the archive has nothing of it any more."""
    shutil.rmtree(_object(stream, 2, MANIFEST).parent)
    found, _ = stream.verify()
    assert found == [f"{_object(stream, 2, MANIFEST)}: is missing: segment 207 was archived"]


def test_segments_that_were_swapped_are_named(stream: SealedStream) -> None:
    """A folder under another's name is not what its manifest is of."""
    one, other = (_object(stream, number, MANIFEST).parent for number in (0, 1))
    one.rename(other.with_name("aside"))
    other.rename(one)
    other.with_name("aside").rename(other)
    found, _ = stream.verify(catalog=False)
    assert sum("and stands elsewhere" in line for line in found) == 2


def test_a_stray_object_is_named(stream: SealedStream) -> None:
    """What was slipped in beside the segments is not passed over."""
    stray = _object(stream, 0, MANIFEST).with_name("extra.parquet")
    stray.write_bytes(b"")
    assert stream.verify()[0] == [f"{stray}: does not belong to any segment"]


def _resigned(stream: SealedStream, number: int, change: Callable[[Manifest], Manifest]) -> Path:
    """Sign a changed manifest with the archive's own key, as an intruder might who has it."""
    path = _object(stream, number, MANIFEST)
    manifest = msgspec.json.decode(Note.parse(path.read_bytes()).text, type=Manifest)
    pair = stream.archiver().pair
    path.write_bytes(sign_manifest(change(manifest), pair.public, pair))
    return path


def test_the_archives_key_alone_cannot_forge_records(stream: SealedStream) -> None:
    """Hashes that the log did not sign are found out, though the manifest's signature is right."""

    def forged(manifest: Manifest) -> Manifest:
        hashes = [bytes(32), *manifest.range_hashes[1:]]
        return msgspec.structs.replace(manifest, range_hashes=hashes)

    path = _resigned(stream, 1, forged)
    found, _ = stream.verify(catalog=False)
    assert f"{path}: the proof does not lead to the older root, of 207 leaves" in found


def test_a_root_that_the_log_did_not_sign_is_found_out(stream: SealedStream) -> None:
    """A chain of hashes that agrees with itself must agree with the log's checkpoint, too."""

    def forged(manifest: Manifest) -> Manifest:
        return msgspec.structs.replace(manifest, consistency=manifest.consistency[:-1])

    path = _resigned(stream, 0, forged)
    found, _ = stream.verify(catalog=False)
    assert [line for line in found if line.startswith(str(path))]


def test_a_segment_after_another_predecessor_is_named(stream: SealedStream) -> None:
    """The chain of the segments' own digests is a second check beside the tree."""
    path = _resigned(
        stream, 1, lambda one: msgspec.structs.replace(one, predecessor=bytes(32).hex())
    )
    found, _ = stream.verify(catalog=False)
    assert f"{path}: the segment before it is not the one it was written after" in found


def test_another_log_of_the_same_name_is_not_believed(stream: SealedStream) -> None:
    """Checkpoints are held to the log's key, not to its name."""
    archiver = stream.archiver(FolderStore(stream.archive))
    stranger = make_pair(archiver.log_key.name, ED25519, bytes(32)).public
    (stream.data_dir / "audit" / "log.key").unlink()
    (stream.data_dir / "audit" / "log.pub").unlink()
    assert stranger != archiver.log_key
    found, _ = stream.verify(catalog=False)  # makes a new key of the old name
    assert len(found) == 1
    assert "is not signed by turnout.example/0" in found[0]


def test_a_changed_manifest_is_not_the_one_that_was_cataloged(stream: SealedStream) -> None:
    """A manifest that was signed again with another time differs from the catalog's line."""
    path = _resigned(stream, 2, lambda one: msgspec.structs.replace(one, archived_at_us=5))
    assert stream.verify()[0] == [f"{path}: is not the manifest that the catalog noted"]
