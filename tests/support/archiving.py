"""A small sealed stream with its signed log in a data directory, and an archiver for it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import define

from chassis.crash_points import arm, disarm, is_armed
from ledger.archive.archiver import Archived, Archiver
from ledger.archive.catalog import make_work_folder, read_catalog, still_archived
from ledger.archive.expiring import Expired, Expirer, IsGone
from ledger.archive.holds import Register
from ledger.archive.store import FolderStore, Store
from ledger.archive.trimming import DAY_US, Trimmed, Trimmer
from ledger.archive.verifying import ArchiveVerified, verify_archive
from ledger.audit.findings import Findings
from ledger.audit.folders import LOG_KEY_STEM, log_folder
from ledger.audit.keys import KeyPair, load_or_make
from ledger.audit.log import AuditLog
from ledger.audit.notes import ED25519
from ledger.stream.record import Mark, Position, descriptor_id
from ledger.stream.segments.files import segment_path, shard_folder
from ledger.stream.segments.format import (
    HEADER_BYTES,
    NO_PREDECESSOR,
    SEAL,
    Header,
    encode_frame,
    encode_header,
)
from ledger.stream.segments.high_water import HighWater, HighWaterFile
from tests.support.stream import INT8, SYSTEM, TEXT, UUID, descriptor, record

ROOT = Path(__file__).parents[2]
NOW = datetime(2030, 1, 1, tzinfo=UTC)
PAYMENTS = descriptor(
    "payment_intents", ("id", UUID), ("version", INT8), ("amount_minor", INT8), ("currency", TEXT)
)
FRAME_RECORDS = 40
ORIGIN = "turnout.example/0"


def payment(number: int) -> bytes:
    """The insert of a payment of `number` minor units."""
    intent_id = number.to_bytes(16)
    row = (intent_id, (1).to_bytes(8), number.to_bytes(8), b"eur")
    return record(number, row=row, descriptor=descriptor_id(PAYMENTS))


def segment(first: int, records: list[bytes], predecessor: bytes) -> bytes:
    """A sealed segment: frames, marks alone between them, and a seal."""
    parts = [encode_header(Header(0, first, 1_700_000_000_000_000 + first, predecessor))]
    for at in range(0, len(records), FRAME_RECORDS):
        of_frame = records[at : at + FRAME_RECORDS]
        last = Position(first + at + 1, at)
        for batch, known in ((of_frame, [] if at else [PAYMENTS]), ([], [])):
            end = first + at + (0 if batch else len(of_frame))
            mark = Mark(SYSTEM, 1, end + 1)
            frame = encode_frame(
                first_offset=end, records=batch, descriptors=known, last=last, epoch=1, mark=mark
            )
            parts.append(frame)
    end, mark = first + len(records), Mark(SYSTEM, 1, first + len(records) + 1)
    seal = encode_frame(
        first_offset=end, records=(), descriptors=(), last=None, epoch=2, mark=mark, kind=SEAL
    )
    return b"".join((*parts, seal))


def killed_at(point: str, script: str, armed: Path, *words: str) -> None:
    """Have a script be killed at a step.

    Args:
        point: the step.
        script: takes the words, and behind them the file that arms the step.
        armed: that file.
        words: the script's arguments.
    """
    disarm(armed)
    arm(armed, point)
    line = [sys.executable, "-c", script, *words, str(armed)]
    killed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not is_armed(armed)


@define
class SealedStream:
    """A data directory with a stream of sealed segments and its log.

    Attributes:
        data_dir: the folder.
        firsts: of each sealed segment, its first offset.
    """

    data_dir: Path
    firsts: list[int]

    @classmethod
    def make(cls, data_dir: Path, counts: tuple[int, ...] = (130, 77, 200)) -> SealedStream:
        """Write so many records to each sealed segment, an empty one behind them, and sign all."""
        stream = shard_folder(data_dir, 0)
        stream.mkdir(parents=True)
        first, digest, firsts = 0, NO_PREDECESSOR, []
        for count in counts:
            data = segment(first, [payment(one) for one in range(first, first + count)], digest)
            segment_path(stream, first).write_bytes(data)
            firsts.append(first)
            first, digest = first + count, sha256(data).digest()
        newest = encode_header(Header(0, first, 0, digest))
        segment_path(stream, first).write_bytes(newest + bytes(4_096))
        high_water = HighWaterFile.to_publish(stream)
        high_water.publish(HighWater(1, first, first, HEADER_BYTES))
        high_water.close()
        made = cls(data_dir, firsts)
        made.sign(first)
        return made

    @property
    def stream(self) -> Path:
        """The folder of the segments."""
        return shard_folder(self.data_dir, 0)

    @property
    def archive(self) -> Path:
        """The folder of the archive."""
        return self.data_dir / "archive"

    def sign(self, size: int) -> None:
        """Have the log sign so many records, in two checkpoints."""
        folder = log_folder(self.data_dir)
        folder.parent.mkdir(exist_ok=True)
        pair = load_or_make(folder.parent / LOG_KEY_STEM, ORIGIN, ED25519)
        log = AuditLog.open(folder, ORIGIN, pair.public, pair)
        for end in (log.size + (size - log.size) // 3, size):
            log.append([payment(one) for one in range(log.size, end)])
            log.checkpoint(NOW)
        log.close()

    def archiver(self, store: Store | None = None) -> Archiver:
        """An archiver, into the data directory's own archive unless told otherwise."""
        work = make_work_folder(self.data_dir, 0)
        log_key = load_or_make(self.data_dir / "audit" / LOG_KEY_STEM, ORIGIN, ED25519).public
        return Archiver(
            stream=self.stream,
            log=log_folder(self.data_dir),
            log_key=log_key,
            pair=load_or_make(work.parent / "archive", f"{ORIGIN}/archive", ED25519),
            store=store or FolderStore(self.archive, make=True),
            work=work,
            now_us=lambda: 1,
        )

    def run(self, store: Store | None = None) -> Archived:
        """Archive what can be."""
        return self.archiver(store).run(lambda _done, _of: None)

    def verify(
        self, store: Store | None = None, *, catalog: bool = True
    ) -> tuple[list[str], ArchiveVerified]:
        """What a verification finds, a line each, and what it looked at."""
        archiver = self.archiver(store)
        findings = Findings()
        verified = verify_archive(
            archiver.store,
            shard=0,
            key=archiver.pair.public,
            log_key=archiver.log_key,
            catalog=still_archived(read_catalog(archiver.work)) if catalog else {},
            findings=findings,
            progress=lambda _done, _of: None,
        )
        return [str(one) for one in findings.found], verified

    @property
    def pair(self) -> KeyPair:
        """The archive's key."""
        return self.archiver().pair

    @property
    def holds(self) -> Register:
        """The legal holds."""
        return Register(self.archiver().work.parent, self.pair.public)

    def trimmer(
        self,
        store: Store | None = None,
        *,
        owners: Mapping[bytes, bytes] | None = None,
        **changes: Any,
    ) -> Trimmer:
        """What removes archived segments from the stream; a day after they were archived."""
        archiver = self.archiver(store)
        fields: dict[str, Any] = {
            "stream": self.stream,
            "work": archiver.work,
            "store": archiver.store,
            "url": str(self.archive),
            "pair": archiver.pair,
            "log_key": archiver.log_key,
            "holds": Register(archiver.work.parent, archiver.pair.public),
            "owners_of": lambda _intents: owners or {},
            "days": 1.0,
            "now_us": lambda: 2 * DAY_US,
        }
        return Trimmer(**(fields | changes))

    def trim(self, **changes: Any) -> Trimmed:
        """Remove from the stream what may go; everybody has read everything."""
        return self.trimmer(**changes).run({"postings": 407}, lambda _done, _of: None, dry=False)

    def expirer(self, store: Store | None = None, **changes: Any) -> Expirer:
        """What removes segments from the archive; a day after they were archived."""
        trimmer = self.trimmer(store)
        fields: dict[str, Any] = {
            name: getattr(trimmer, name)
            for name in ("stream", "work", "store", "pair", "log_key", "holds", "owners_of")
        }
        return Expirer(**(fields | {"days": 1.0, "now_us": lambda: 2 * DAY_US} | changes))

    def expire(
        self,
        store: Store | None = None,
        *,
        is_gone: IsGone | str = lambda _payment: True,
        dry: bool = False,
        **changes: Any,
    ) -> Expired:
        """Remove from the archive what may go; the tables have no payment any more."""
        return self.expirer(store, **changes).run(is_gone, lambda _done, _of: None, dry=dry)

    def objects(self) -> list[Path]:
        """Every file of the archive, by name."""
        return sorted(path for path in self.archive.rglob("*") if path.is_file())
