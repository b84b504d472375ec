"""`turnout stream` over the files of a stream, typed as an operator would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from ledger.ids import public_id
from ledger.stream.backend import Batch
from ledger.stream.record import Mark, descriptor_id
from ledger.stream.segments.files import segment_path, shard_folder
from tests.support.stream import SYSTEM, TEXT, UUID, SegmentsBackend, batch, descriptor, record
from turnout import main

NOTES = descriptor("notes", ("intent_id", UUID), ("said", TEXT), oid=16_500)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Thirty events, one of another table with a card number in it, and one that is no event."""

    async def fill() -> None:
        writer = SegmentsBackend(tmp_path).writer()
        await writer.open()
        await writer.append(batch(0, 28, known=False))
        odd = {"oid": 16_500, "descriptor": descriptor_id(NOTES)}
        said = record(28, **odd, row=((28).to_bytes(16), b"card 4242424242424242"))
        broken = record(29, **odd, row=((29).to_bytes(16),))
        await writer.append(Batch([said, broken], [NOTES], Mark(SYSTEM, 1, 10_000)))
        await writer.aclose()

    trio.run(fill)
    return tmp_path


def _run(data_dir: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["stream", *words, "--data-dir", str(data_dir)])


def _offsets(result: Result) -> list[int]:
    assert result.exit_code == 0, result.output
    return [json.loads(line)["position"]["offset"] for line in result.stdout.splitlines()]


def test_tail_shows_the_newest_events(data_dir: Path) -> None:
    """Twenty unless told otherwise, oldest first."""
    assert _offsets(_run(data_dir, "tail", "--json")) == list(range(10, 30))
    assert _offsets(_run(data_dir, "tail", "--json", "--limit", "3")) == [27, 28, 29]


def test_tail_begins_where_it_is_told(data_dir: Path) -> None:
    """From an offset everything, or as many as asked for."""
    assert _offsets(_run(data_dir, "tail", "--json", "--from", "25")) == list(range(25, 30))
    assert _offsets(_run(data_dir, "tail", "--json", "--from", "4", "--limit", "2")) == [4, 5]


def test_tail_finds_one_payment(data_dir: Path) -> None:
    """All events of a payment intent, by its id."""
    payment = public_id("pi", (7).to_bytes(16))
    assert _offsets(_run(data_dir, "tail", "--json", "--payment", payment)) == [7]


def test_people_get_a_line_an_event(data_dir: Path) -> None:
    """Offset, time, what happened to which table, and whose it is."""
    result = _run(data_dir, "tail", "--from", "7", "--limit", "1")
    assert result.stdout.split() == [
        *("7", "2023-11-14T22:13:20.000Z", "insert", "outcomes"),
        public_id("pi", (7).to_bytes(16)),
    ]


def test_what_looks_like_a_card_is_masked(data_dir: Path) -> None:
    """Texts are masked in every form of output; ids and instants are left whole."""
    for words in (("tail", "--json"), ("tail",), ("show", "28")):
        result = _run(data_dir, *words)
        assert result.exit_code == 0
        assert "4242424242424242" not in result.output
    event = json.loads(_run(data_dir, "show", "28").stdout)
    assert event["after"]["intent_id"] == "00000000-0000-0000-0000-00000000001c"


def test_an_event_that_cannot_be_read_is_told(data_dir: Path) -> None:
    """It is shown with its offset and the reason, and does not end the list."""
    event = json.loads(_run(data_dir, "show", "29").stdout)
    assert "columns" in event["error"]
    assert "29  notes" in _run(data_dir, "tail").stdout


def test_show_beyond_the_end_says_so(data_dir: Path) -> None:
    """There is no such event yet: an exit status for scripts, a line for people."""
    result = _run(data_dir, "show", "30")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "turnout stream show: the stream has no record 30 yet\n"


def test_status_counts(data_dir: Path) -> None:
    """Without a running stack it tells of files alone."""
    document = json.loads(_run(data_dir, "status", "--json").stdout)
    assert (document["records"], document["segments"], document["spare"]) == (30, 1, True)
    assert document["newest_at"] == "2023-11-14T22:13:20.000029+00:00"
    assert document["consumers"] is None
    assert "records    30" in _run(data_dir, "status").stdout


def test_a_damaged_stream_is_a_fault(data_dir: Path) -> None:
    """The line names segment and byte; the exit status is that of a fault."""
    path = segment_path(shard_folder(data_dir, 0), 0)
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    result = _run(data_dir, "tail")
    assert result.exit_code == 1
    assert result.stderr == (
        "turnout stream tail: segment 0 at byte 64: a frame does not match its CRC\n"
    )


def test_a_stream_that_has_not_begun_is_an_empty_one(tmp_path: Path) -> None:
    """While a stack starts for the first time there is nothing to show, which is no fault."""
    shard_folder(tmp_path, 0).mkdir(parents=True)
    assert _offsets(_run(tmp_path, "tail", "--json")) == []
    assert json.loads(_run(tmp_path, "status", "--json").stdout)["records"] == 0


@pytest.mark.parametrize("words", [("parked", "list"), ("parked", "retry", "postings", "7")])
def test_what_is_parked_is_in_the_ledger(data_dir: Path, words: tuple[str, ...]) -> None:
    """Without a running stack there is nobody to ask, and the line says so."""
    result = _run(data_dir, *words)
    assert result.exit_code == 3
    assert result.stderr.startswith(f"turnout stream {' '.join(words[:2])}: ")


@pytest.mark.parametrize("words", [("tail",), ("show", "0"), ("status",)], ids=" ".join)
def test_a_folder_without_a_stream_is_told(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A mistyped data directory does not look like a stream without events."""
    result = _run(tmp_path, *words)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "there is no stream in" in result.stderr
