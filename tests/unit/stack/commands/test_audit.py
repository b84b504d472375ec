"""`turnout audit` over the files of a log and its stream, typed as an auditor would."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from chassis.settings.tree import Stream
from ledger.audit.folders import AUDIT_FOLDER, log_folder
from ledger.audit.log import AuditLog
from ledger.audit.service import log_key
from ledger.audit.witness_service import Watching
from ledger.ids import public_id
from ledger.stream.backend import Batch
from ledger.stream.record import Mark
from ledger.stream.segments.files import segment_path, shard_folder
from ledger.stream.segments.writer import SegmentWriter
from stack.audit_bundle import NOT_SHOWN
from tests.support.stream import DESCRIPTOR, record
from turnout import main

NOW = datetime(2030, 1, 1, tzinfo=UTC)
INTENT, OTHER = bytes(range(16)), bytes(range(1, 17))
PAYMENT = public_id("pi", INTENT)
RECORDS = [
    record(number, intent_id=intent, row=(intent, number.to_bytes(8)))
    for number, intent in zip(range(1, 301), 150 * [INTENT, OTHER], strict=True)
]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """300 records, every second one of our payment; 250 of them signed and witnessed."""

    async def fill() -> None:
        writer = SegmentWriter(
            tmp_path, shard=0, settings=Stream(segment_bytes=1_048_576), now_us=lambda: 1
        )
        await writer.open()
        await writer.append(Batch(RECORDS, [DESCRIPTOR], Mark(1, 1, 1_000)))
        await writer.aclose()

    trio.run(fill)
    (tmp_path / AUDIT_FOLDER).mkdir()
    (tmp_path / "witness").mkdir()
    pair = log_key(tmp_path / AUDIT_FOLDER, "turnout.example/0")
    log = AuditLog.open(log_folder(tmp_path), pair.public.name, pair.public, pair)
    for size in (100, 250):
        log.append(RECORDS[log.size : size])
        log.checkpoint(NOW)
    log.close()
    Watching(tmp_path / AUDIT_FOLDER, log_folder(tmp_path), tmp_path / "witness").look()
    return tmp_path


def _audit(data_dir: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["audit", *words, "--data-dir", str(data_dir)])


def _json(data_dir: Path, *words: str) -> dict[str, Any]:
    result = _audit(data_dir, *words, "--json")
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_status_and_keys_tell_what_to_keep(data_dir: Path) -> None:
    """Sizes of log and witness, and the keys that a bundle is checked with."""
    assert _json(data_dir, "status")["signed"] == 250
    assert "250 records signed, 250 witnessed" in _audit(data_dir, "status").stdout
    keys = _json(data_dir, "keys")
    assert keys["log"].startswith("turnout.example/0+")
    assert keys["witness"].startswith("witness.turnout.example/0+")


def test_all_is_as_it_was_signed(data_dir: Path) -> None:
    """The contract's document, and one line for people."""
    document = _json(data_dir, "verify", "all")
    assert document["ok"]
    assert document["checked"] == {"events": 300, "rows": 0, "checkpoints": 4}
    assert (document["findings"], document["unsigned"]) == ([], 50)
    assert (document["witnessed"], document["database"]["compared"]) == (250, False)
    assert _audit(data_dir, "verify", "all").stdout.splitlines() == [
        "300 records, 4 checkpoints: as they were signed; 50 not signed yet, 250 witnessed",
        "tables not compared: no stack runs on this data directory",
    ]


def test_the_keys_that_an_auditor_kept_are_believed(data_dir: Path) -> None:
    """Not those that lie beside the files: whoever changed these may have changed those."""
    keys = _json(data_dir, "keys")
    kept = ["--key", keys["log"], "--witness-key", keys["witness"]]
    assert _json(data_dir, "verify", "all", *kept)["ok"]
    other = data_dir / "other"
    other.mkdir()
    stranger = str(log_key(other, "turnout.example/0").public)
    result = _audit(data_dir, "verify", "all", "--key", stranger)
    assert result.exit_code == 1
    assert "the note is not signed by turnout.example/0" in result.stdout
    (data_dir / "witness" / "checkpoint").unlink()
    result = _audit(data_dir, "verify", "all", *kept)
    assert f"{data_dir}/witness/checkpoint: is missing" in result.stdout


def test_tables_are_compared_where_a_stack_runs(data_dir: Path) -> None:
    """Without one there is nothing to compare: exit status 3."""
    result = _audit(data_dir, "verify", "db")
    assert result.exit_code == 3
    assert "verify db: " in result.stderr


def test_what_was_changed_is_named(data_dir: Path) -> None:
    """A byte of the stream: exit status 1, file and byte, in both forms."""
    path = segment_path(shard_folder(data_dir, 0), 0)
    data = bytearray(path.read_bytes())
    data[5_000] ^= 1
    path.write_bytes(data)
    result = _audit(data_dir, "verify", "all", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert not document["ok"]
    assert document["findings"][0] == {
        "kind": "segment",
        "where": f"{path}:64",
        "detail": "a frame does not match its CRC",
    }
    assert f"{path}:64: a frame does not" in _audit(data_dir, "verify", "all").stdout


def test_an_empty_log_is_not_well(tmp_path: Path) -> None:
    """Nothing signed proves nothing."""
    (tmp_path / AUDIT_FOLDER).mkdir()
    shard_folder(tmp_path, 0).mkdir(parents=True)
    log_key(tmp_path / AUDIT_FOLDER, "")
    result = _audit(tmp_path, "verify", "all", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["findings"][0]["detail"] == "nothing has been signed yet"


def test_a_record_and_two_checkpoints_are_proved(data_dir: Path) -> None:
    """With their proofs; what is not there has none."""
    document = _json(data_dir, "verify", "inclusion", "249")
    assert (document["size"], len(document["proof"])) == (250, 6)
    assert "a tree of 250 leaves has none at 250" in (
        _audit(data_dir, "verify", "inclusion", "250").stderr
    )
    assert _json(data_dir, "verify", "consistency", "100")["new_size"] == 250
    result = _audit(data_dir, "verify", "consistency", "101")
    assert result.exit_code == 1
    assert "no checkpoint of 101 records was signed; 100 comes before it" in result.stderr


def test_a_bundle_is_checked_without_the_log(data_dir: Path, tmp_path: Path) -> None:
    """Made here, checked with public keys alone; one byte of it changed is found."""
    path = tmp_path / "evidence.json"
    made = _json(data_dir, "bundle", PAYMENT, "-o", str(path))
    assert (made["events"], made["payment"]) == (125, PAYMENT)
    keys = _json(data_dir, "keys")
    words = ["audit", "verify", "bundle", str(path), "--key", keys["log"]]
    result = CliRunner().invoke(main, [*words, "--witness-key", keys["witness"], "--json"])
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["ok"], document["payment"]) == (True, PAYMENT)
    assert document["witnessed_at_s"] > 1_000_000_000
    first = document["events"][0]
    assert (first["table"], first["operation"], first["payment_intent"]) == (
        *("outcomes", "insert", PAYMENT),
    )
    assert [event["position"]["offset"] for event in document["events"]] == [*range(0, 250, 2)]
    assert document["not_shown"] == [*NOT_SHOWN]
    lines = CliRunner().invoke(main, words).stdout.splitlines()
    assert lines[0] == f"{PAYMENT}: 125 records, as turnout.example/0 signed them"
    assert lines[1].split()[0] == "0"
    assert "insert" in lines[1]
    assert "no witness' key was given" in lines[-1]
    assert document["versions_missing"] == []
    forged = path.read_text().replace('"index": 0,', '"index": 2,')
    path.write_text(forged)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "records[0]: the proof of inclusion of leaf 2" in result.stdout


def test_a_bundle_needs_the_right_key(data_dir: Path, tmp_path: Path) -> None:
    """Another log's key, a file that is none, a payment that is not there."""
    path = tmp_path / "evidence.json"
    _json(data_dir, "bundle", PAYMENT, "-o", str(path))
    other = tmp_path / "other"
    other.mkdir()
    stranger = log_key(other, "turnout.example/0").public
    words = ["audit", "verify", "bundle", str(path), "--key"]
    result = CliRunner().invoke(main, [*words, str(stranger)])
    assert result.exit_code == 1
    assert "the checkpoint proves nothing" in result.stderr
    assert CliRunner().invoke(main, [*words, "nowhere"]).exit_code == 3
    assert CliRunner().invoke(main, [*words, "a+b"]).exit_code == 3
    result = _audit(data_dir, "bundle", public_id("pi", bytes(16)), "-o", str(path))
    assert result.exit_code == 1
    assert "nothing of this payment" in result.stderr


def test_an_export_is_what_other_tools_read(data_dir: Path, tmp_path: Path) -> None:
    """Tiles of hashes over entries, and the note: checked here with hashlib alone."""
    folder = tmp_path / "export"
    assert _json(data_dir, "export", str(folder))["size"] == 250
    entries = (folder / "tile/entries/000.p/250").read_bytes()
    hashes = (folder / "tile/0/000.p/250").read_bytes()
    at = 0
    for number in range(250):
        size = int.from_bytes(entries[at : at + 2], "big")
        leaf = sha256(b"\x00" + entries[at + 2 : at + 2 + size]).digest()
        assert hashes[32 * number : 32 * number + 32] == leaf
        at += 2 + size
    assert at == len(entries)
    assert (folder / "checkpoint").read_text().startswith("turnout.example/0\n250\n")


def test_without_a_log_it_says_so(tmp_path: Path) -> None:
    """Exit status 3, and the file that is missing."""
    result = _audit(tmp_path, "status")
    assert result.exit_code == 3
    assert "there is no audit log here" in result.stderr
