"""Who still needs the stream, and from which record on: asked of the ledger and of the log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

from ledger.audit.log import CHECKPOINT
from ledger.audit.notes import Checkpoint, Note, VerifierKey
from ledger.audit.witness import WITNESSED
from ledger.pgtypes import int4_, uuid_array
from ledger.statements import QUERIES, Runner

_CURSORS: Final = QUERIES["stream_needs"]
_OWNERS: Final = QUERIES["merchants_of_intents"]


async def ledger_needs(runner: Runner, shard: int, expected: Iterable[str]) -> dict[str, int]:
    """From which offset on each consumer group needs the stream.

    An event that was parked is needed until it is taken in. A group that should run and has never
    begun needs everything.

    Args:
        runner: role turnout_reader.
        shard: whose stream.
        expected: groups that run with these settings.
    """
    needs = dict.fromkeys(expected, 0)
    for group, offset in (await runner.run(_CURSORS, [int4_(shard)])).rows():
        needs[group] = offset
    return needs


def log_needs(log: Path, witness: Path, key: VerifierKey) -> dict[str, int]:
    """From which offset on the log and its witness need the stream: behind what each has signed.

    Raises:
        NoteError: a checkpoint is not the log's.
        OSError: it cannot be read.
    """
    return {
        "audit": _size(log / CHECKPOINT, key),
        "witness": _size(witness / WITNESSED, key),
    }


def _size(path: Path, key: VerifierKey) -> int:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return 0
    note = Note.parse(data)
    note.check(key)
    return Checkpoint.parse(note.text).size


async def merchants_of(runner: Runner, intents: Collection[bytes]) -> Mapping[bytes, bytes]:
    """The merchants of those payments that the ledger still has. Role: turnout_reader."""
    result = await runner.run(_OWNERS, [uuid_array(list(intents))])
    return dict(result.rows())
