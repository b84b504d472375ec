"""The HSM's audit log: one chained line per change of keys and per release of cards.

Opening a card leaves no line: it is what the HSM is for, and the card came from its holder. Giving
back a card that the ledger keeps does leave one, because that is how a vault is emptied.

Each line is a JSON object. `mac` is HMAC-SHA256 under the audit key over the rest of the line,
which holds the `mac` of the line before it, so a line cannot be edited, dropped, inserted or moved
without breaking the chain. A cut tail leaves a chain that is whole but short: it shows against a
head (sequence and mac) noted elsewhere, which is why every append is logged with both.

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
]
Entry = tuple[Action, dict[str, str | int]]
_log = get_logger(__name__)
_GENESIS: Final = "0" * 64
_TAIL_BYTES: Final = 8_192  # longer than any two lines
DETAIL_CHARS_MAX: Final = 1_152  # room for the 32 ids of a batch in hex; what is longer is cut


class AuditError(Exception):
    """The log cannot be continued: its last line is not one of ours. Names the file."""


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
    """One break of the chain: where (line number from 1) and what."""

    line: int
    kind: Literal["unreadable", "altered", "gap", "cut"]


class AuditLog:
    """Appends to the log of one key store.

    Args:
        path: the log; its lock is `<path>.lock`.
        key: the audit key.
        worker: this process's number, noted on each line.
    """

    def __init__(self, path: Path, key: Key, *, worker: int) -> None:
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
            AuditError: the last whole line is not one of ours.
            OSError: the file cannot be written.
        """
        with locked(self._path.with_suffix(".lock")):
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
    # Base32 is mostly letters: in hex, a long run of digits would be masked in a log as a card.
    return b32encode(digest).decode().rstrip("=")


def verify(
    lines: Iterable[bytes], key: Key, *, head: tuple[int, str] | None = None
) -> list[Finding]:
    """Find every break of a log's chain.

    Args:
        lines: the file's lines.
        key: the audit key.
        head: sequence and mac of a line known to have been written; the log must hold it.
    """
    findings = []
    previous_mac, expected = _GENESIS, 1
    head_seen = head is None
    number = 0
    for number, raw in enumerate(lines, start=1):
        line = _read_line(raw)
        if line is None:
            findings.append(Finding(number, "unreadable"))
            continue
        if not hmac.compare_digest(line.mac, mac_of(line, key)):
            findings.append(Finding(number, "altered"))
        elif (line.sequence, line.previous) != (expected, previous_mac):
            findings.append(Finding(number, "gap"))
        head_seen = head_seen or (line.sequence, line.mac) == head
        previous_mac, expected = line.mac, line.sequence + 1
    if not head_seen:
        findings.append(Finding(number, "cut"))
    return findings


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
