"""Legal holds: what may not be removed from anywhere, who said so, and why.

    <data_dir>/archiving/holds.jsonl
    {"number":1,"action":"add","at_us":…,"operator":"…","reason":"…","merchant":null,
     "intent":"<32 hex digits>","begin_us":null,"end_us":null,"before":"<64 hex digits>",
     "seal":"<base64>"}

A line for each deed, the oldest first; each has the SHA-256 of the line before it and the archive's
signature over itself, so a line that was removed, put in or changed is found out (of the last ones,
that they are missing is not). A file and not a table: a database that was restored from a backup
must not forget a hold, and a hold must not wait for a stack to run.

Whoever removes something asks last, under the lock that whoever adds a hold takes, too.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from attrs import frozen

from chassis.durable import locked, sync_folder
from ledger.archive.errors import ArchiveError, StoreError
from ledger.audit.keys import KeyPair
from ledger.audit.notes import NoteError, VerifierKey

NAME: Final = "holds.jsonl"
LOCK: Final = "holds.lock"
NO_LINE: Final = "0" * 64
_MODE: Final = 0o600
_HEADING: Final = b"turnout archive hold/1\n"

Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One deed.

    Attributes:
        number: of the hold.
        action: it was added, or released.
        at_us: when, Unix microseconds.
        operator: by whom.
        reason: why.
        merchant: whose payments are held, in hex; None if that is not what is held.
        intent: which payment is; likewise.
        begin_us: from when on everything is; likewise.
        end_us: until when; exclusive.
        before: SHA-256 of the line before it.
        seal: the archive's signature over the line without it.
    """

    number: int
    action: Literal["add", "release"]
    at_us: int
    operator: str
    reason: str
    merchant: Id | None = None
    intent: Id | None = None
    begin_us: int | None = None
    end_us: int | None = None
    before: str = NO_LINE
    seal: str = ""

    def message(self) -> bytes:
        """What is signed."""
        return _HEADING + msgspec.json.encode(msgspec.structs.replace(self, seal=""))

    @property
    def name(self) -> str:
        """For people."""
        return f"legal hold {self.number}"


@frozen
class Register:
    """The holds of a data directory.

    Attributes:
        folder: `<data_dir>/archiving`.
        key: the archive's public key; None while there is none, and so no hold either.
    """

    folder: Path
    key: VerifierKey | None

    @property
    def lock(self) -> Path:
        """Taken by whoever adds or releases a hold, and by whoever removes what may be held."""
        return self.folder / LOCK

    def lines(self) -> list[Line]:
        """Every deed, in order. A last line that a crash tore was never acknowledged.

        Raises:
            ArchiveError: a line was changed, removed or put in.
            StoreError: the file cannot be read.
        """
        return [line for line, _ in self._read()]

    def active(self) -> list[Line]:
        """The holds that hold; raises as `lines`."""
        held: dict[int, Line] = {}
        for line in self.lines():
            if line.action == "add":
                held[line.number] = line
            else:
                held.pop(line.number, None)
        return list(held.values())

    def add(self, pair: KeyPair, line: Line) -> Line:
        """Note a new hold, durably; its number is given here.

        Raises:
            ArchiveError, StoreError: As `lines`; nothing was noted.
        """
        with locked(self.lock):
            number = 1 + max((one.number for one in self.lines()), default=0)
            return self._note(pair, msgspec.structs.replace(line, number=number, action="add"))

    def release(self, pair: KeyPair, line: Line) -> Line:
        """Note that a hold is over, durably.

        Raises:
            ArchiveError: there is no such hold, or it was released already; or as `lines`.
            StoreError: as `lines`; nothing was noted.
        """
        with locked(self.lock):
            held = {one.number: one for one in self.active()}.get(line.number)
            if held is None:
                raise ArchiveError(f"there is no legal hold {line.number}")
            what = msgspec.structs.replace(
                held,
                action="release",
                at_us=line.at_us,
                operator=line.operator,
                reason=line.reason,
            )
            return self._note(pair, what)

    def _note(self, pair: KeyPair, line: Line) -> Line:
        read = self._read()
        before = sha256(read[-1][1]).hexdigest() if read else NO_LINE
        line = msgspec.structs.replace(line, before=before, seal="")
        seal = base64.b64encode(pair.sign(line.message())).decode()
        line = msgspec.structs.replace(line, seal=seal)
        whole = b"".join(data + b"\n" for _, data in read)
        path = self.folder / NAME
        data = msgspec.json.encode(line) + b"\n"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
            try:
                os.ftruncate(descriptor, len(whole))
                if os.pwrite(descriptor, data, len(whole)) != len(data):
                    raise StoreError(f"cannot note a hold in {path}: no room")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync_folder(self.folder)
        except OSError as error:
            raise StoreError(f"cannot note a hold in {path}: {error.strerror}") from error
        return line

    def _read(self) -> list[tuple[Line, bytes]]:
        path = self.folder / NAME
        try:
            whole, _, _ = path.read_bytes().rpartition(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        found: list[tuple[Line, bytes]] = []
        before = NO_LINE
        for number, data in enumerate(whole.splitlines(), 1):
            found.append((self._checked(data, before, f"{path} line {number}"), data))
            before = sha256(data).hexdigest()
        return found

    def _checked(self, data: bytes, before: str, place: str) -> Line:
        if self.key is None:
            raise ArchiveError(f"{place}: the archive's public key is missing")
        try:
            line = msgspec.json.decode(data, type=Line)
            self.key.check_message(line.message(), base64.b64decode(line.seal, validate=True))
        except (msgspec.DecodeError, NoteError, ValueError):
            raise ArchiveError(f"{place} is not what the archive's key signed") from None
        if line.before != before:
            raise ArchiveError(f"{place}: the line before it is not the one it was written after")
        return line


def holds_of(lines: Sequence[Line], merchant: bytes | None, intent: bytes) -> Line | None:
    """The first hold on a payment, by itself or by its merchant; None if there is none.

    Args:
        lines: active holds.
        merchant: whose payment it is; None if nobody knows, and then any merchant's hold counts.
        intent: its id.
    """
    for line in lines:
        if line.intent == intent.hex():
            return line
        if line.merchant is not None and (merchant is None or line.merchant == merchant.hex()):
            return line
    return None
