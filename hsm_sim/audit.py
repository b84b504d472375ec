"""The HSM's audit log: one chained line per change of keys and per release of cards.

Opening a card leaves no line: it is what the HSM is for, and the card came from its holder. Giving
back a card that the ledger keeps does leave one, because that is how a vault is emptied.

Each line is a JSON object. `mac` is HMAC-SHA256 under the audit key over the rest of the line,
which holds the `mac` of the line before it, so a line cannot be edited, dropped, inserted or moved
without breaking the chain. A cut tail leaves a chain that is whole but short: it shows against a
head (sequence and mac) noted elsewhere, which is why every append is logged with both.

The log is bounded files, chained too (`hsm_sim.audit_files`).

A line is durable before its action takes effect. Several worker processes append to one file;
they take turns by a lock and read the head from the file itself.
"""

from __future__ import annotations

import hmac
import os
from base64 import b32encode
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from chassis.durable import locked, sync_folder
from chassis.log import get_logger
from chassis.secrets import Key
from hsm_sim.audit_files import (
    continue_in_new_file,
    digest_of,
    finished_name,
    lines_of,
    log_files,
)

Action = Literal[
    "key_created",
    "key_destroyed",
    "key_forgotten",
    "secrets_sealed",
    "cards_released",
    "release_limit_reached",
    "kek_loaded",
    "kek_refused",
    "kek_destroyed",
    "session_key_imported",
    "session_key_generated",
    "session_key_refused",
    "session_key_confirmed",
    "session_key_promoted",
    "session_key_abandoned",
    "session_key_destroyed",
    "torn_line_removed",
    "log_continued",
]
Entry = tuple[Action, dict[str, str | int]]
_log = get_logger(__name__)
_GENESIS: Final = "0" * 64
_TAIL_BYTES: Final = 8_192  # longer than any two lines
FILE_BYTES: Final = 67_108_864
DETAIL_CHARS_MAX: Final = 1_152  # room for the 32 ids of a batch in hex; what is longer is cut


class AuditError(Exception):
    """The log cannot be continued: its last line, or its file, is not one of ours. Names it."""


class AuditLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action; `detail` names keys by id and users by uid, never a secret."""

    sequence: int
    at_s: int
    worker: int
    action: Action
    detail: dict[str, str | int]
    previous: str
    mac: str = ""


class Finding(Struct, frozen=True):
    """One break of the chain: where (line number from 1, and which file of several) and what.

    `file` says that a file is not the one that the next one names as its predecessor.
    """

    line: int
    kind: Literal["unreadable", "altered", "gap", "cut", "file"]
    file: str = ""


class AuditLog:
    """Appends to the log of one key store.

    Args:
        path: the log; its lock is `<path>.lock`.
        key: the audit key.
        worker: this process's number, noted on each line.
        file_bytes: a file of this size is finished, and the log goes on in another one.
    """

    def __init__(self, path: Path, key: Key, *, worker: int, file_bytes: int = FILE_BYTES) -> None:
        self._file_bytes = file_bytes
        self._path = path
        self._key = key
        self._worker = worker

    def append(self, entries: Sequence[Entry], *, at_s: int, tell: bool = True) -> AuditLine:
        """Write lines durably and return the last of them.

        A last line without its line feed was never confirmed to anyone (the process died within
        the write), so it is removed, and a line says so.

        Args:
            entries: what happened, at least one.
            at_s: seconds since 1970.
            tell: whether to log the new head too, as the evidence against a cut tail.

        Raises:
            AuditError: the last whole line is not one of ours, or files before it are there and
                the one that is written to is not.
            OSError: the file cannot be written.
        """
        with locked(self._path.with_suffix(".lock")):
            size = self._path.stat().st_size if self._path.exists() else 0
            if size >= self._file_bytes:
                self._continue(at_s)
            elif size == 0:
                self._see_that_it_may_begin()
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                tail = file.read()
                whole, torn = _split_tail(tail)
                head = self._head(whole, is_start=size == len(tail))
                if torn:
                    file.truncate(size - torn)
                    entries = [("torn_line_removed", {"bytes": torn}), *entries]
                lines = self._chain(entries, at_s, head)
                file.seek(0, os.SEEK_END)
                file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            if size == 0:
                sync_folder(self._path.parent)
        head = lines[-1]
        if tell:
            _log.info("hsm_audit", action=head.action, sequence=head.sequence, mac=head.mac)
        return head

    def _see_that_it_may_begin(self) -> None:
        finished = [file for file in log_files(self._path) if file != self._path]
        if finished:
            raise AuditError(f"{self._path}: missing behind {finished[-1].name}; restore it")

    def _continue(self, at_s: int) -> None:
        """Finish the file, unless its last line was torn: then that is mended first."""
        with self._path.open("rb") as file:
            file.seek(max(0, self._path.stat().st_size - _TAIL_BYTES))
            whole, torn = _split_tail(file.read())
        if torn:
            return
        head = self._head(whole, is_start=False)
        assert head is not None
        detail: dict[str, str | int] = {
            "file": finished_name(self._path, head.sequence),
            "sha256": _in_letters(digest_of(self._path)),
        }
        (line,) = self._chain([("log_continued", detail)], at_s, head)
        continue_in_new_file(self._path, head.sequence, msgspec.json.encode(line) + b"\n")

    def _head(self, whole: bytes, *, is_start: bool) -> AuditLine | None:
        if not whole:
            if is_start:
                return None
            raise AuditError(f"{self._path}: the last line is too long to be ours")
        last = whole.rstrip(b"\n").rpartition(b"\n")[2]
        line = _read_line(last)
        if line is None or not hmac.compare_digest(line.mac, mac_of(line, self._key)):
            raise AuditError(f"{self._path}: the last line was altered; run an audit")
        return line

    def _chain(
        self, entries: Sequence[Entry], at_s: int, head: AuditLine | None
    ) -> list[AuditLine]:
        sequence, previous = (0, _GENESIS) if head is None else (head.sequence, head.mac)
        lines = []
        for action, detail in entries:
            sequence += 1
            line = AuditLine(
                sequence=sequence,
                at_s=at_s,
                worker=self._worker,
                action=action,
                detail={name: _bounded(value) for name, value in detail.items()},
                previous=previous,
            )
            previous = mac_of(line, self._key)
            lines.append(msgspec.structs.replace(line, mac=previous))
        return lines


def mac_of(line: AuditLine, key: Key) -> str:
    """The MAC that the line must carry, in hex."""
    unsigned = msgspec.structs.replace(line, mac="")
    digest = hmac.digest(key.reveal(), msgspec.json.encode(unsigned), "sha256")
    return _in_letters(digest.hex())


def _in_letters(digest: str) -> str:
    """Base32 is mostly letters: in hex, a long run of digits would be masked in a log as a card."""
    return b32encode(bytes.fromhex(digest)).decode().rstrip("=")


def verify(
    lines: Iterable[bytes], key: Key, *, head: tuple[int, str] | None = None
) -> list[Finding]:
    """Find every break of a log's chain.

    Args:
        lines: the file's lines.
        key: the audit key.
        head: sequence and mac of a line known to have been written; the log must hold it.
    """
    walk = _Walk(key, head)
    walk.take(lines, "")
    return walk.end()


def verify_files(path: Path, key: Key, *, head: tuple[int, str] | None = None) -> list[Finding]:
    """Find every break of a log's chain through all of its files, and every file that is another.

    Args:
        path: the file that is written to; the finished ones lie beside it.
        key: the audit key.
        head: as in `verify`.

    Raises:
        OSError: a file cannot be read.
    """
    walk = _Walk(key, head)
    before: Path | None = None
    for file in log_files(path):
        first = walk.take(lines_of(file), file.name)
        named = first.detail if first is not None and first.action == "log_continued" else {}
        if before is not None:
            present = {"file": before.name, "sha256": _in_letters(digest_of(before))}
            if named != present:
                walk.findings.append(Finding(1, "file", str(named.get("file", before.name))))
        elif named:
            walk.findings.append(Finding(1, "file", str(named["file"])))
        before = file
    return walk.end()


class _Walk:
    """A chain that is followed through one file or several."""

    def __init__(self, key: Key, head: tuple[int, str] | None) -> None:
        self.findings: list[Finding] = []
        self._key = key
        self._head = head
        self._head_seen = head is None
        self._previous, self._expected = _GENESIS, 1
        self._last = (0, "")

    def take(self, lines: Iterable[bytes], file: str) -> AuditLine | None:
        """Follow it through a file; returns its first line."""
        first: AuditLine | None = None
        for number, raw in enumerate(lines, start=1):
            self._last = (number, file)
            line = _read_line(raw)
            if line is None:
                self.findings.append(Finding(number, "unreadable", file))
                continue
            first = line if number == 1 else first
            if not hmac.compare_digest(line.mac, mac_of(line, self._key)):
                self.findings.append(Finding(number, "altered", file))
            elif (line.sequence, line.previous) != (self._expected, self._previous):
                self.findings.append(Finding(number, "gap", file))
            self._head_seen = self._head_seen or (line.sequence, line.mac) == self._head
            self._previous, self._expected = line.mac, line.sequence + 1
        return first

    def end(self) -> list[Finding]:
        """What was found; the head that was noted elsewhere must have been among the lines."""
        if not self._head_seen:
            number, file = self._last
            self.findings.append(Finding(number, "cut", file))
        return self.findings


def _split_tail(tail: bytes) -> tuple[bytes, int]:
    """The whole lines at the end of the file, and the length of a torn one behind them."""
    whole = tail[: tail.rfind(b"\n") + 1]
    return whole, len(tail) - len(whole)


def _read_line(raw: bytes) -> AuditLine | None:
    try:
        return msgspec.json.decode(raw, type=AuditLine)
    except msgspec.MsgspecError:
        return None


def _bounded(value: str | int) -> str | int:
    return value[:DETAIL_CHARS_MAX] if isinstance(value, str) else value
