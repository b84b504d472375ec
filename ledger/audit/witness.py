"""The witness: cosigns what only ever grew, and remembers what it saw.

Theory of operation
-------------------
A log that signs could still show two different pasts to two people, or forget. A witness stands
somewhere else, under another user and key, with a memory of its own. It cosigns a checkpoint only
when the tree it saw last is a prefix of it (RFC 9162, 2.1.4), and remembers first, then signs. So
whoever trusts the witness need not trust the log: under a cosigned checkpoint lies all that ever
lay there.

`judge` decides, purely. `Witness` keeps the memory: one file, replaced whole, that is also what it
publishes: the last note, with its cosignature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from attrs import define, field

from chassis.durable import write_durably
from ledger.audit.merkle import ProofError, check_consistency
from ledger.audit.notes import Checkpoint, Note, NoteError, Signer, VerifierKey, cosign

WITNESSED: Final = "checkpoint"
_READABLE: Final = 0o644

Prove = Callable[[int, int], Sequence[bytes]]
"""Older and newer size → the log's proof that the one is a prefix of the other."""


class WitnessError(Exception):
    """The log offers what does not follow from what it offered before; nothing is cosigned."""


def judge(seen: Checkpoint | None, offered: Checkpoint, prove: Prove) -> None:
    """Decide whether a checkpoint follows from the last one seen.

    Raises:
        WitnessError: it does not; says how.
    """
    if seen is None:
        return
    if offered.origin != seen.origin:
        raise WitnessError(f"the log was {seen.origin} and calls itself {offered.origin} now")
    if offered.size < seen.size:
        raise WitnessError(f"the log had {seen.size} leaves and shows {offered.size}")
    if offered.size == seen.size and offered.root != seen.root:
        raise WitnessError(f"the log shows another past of {seen.size} leaves")
    try:
        proof = prove(seen.size, offered.size)
        check_consistency(seen.size, offered.size, seen.root, offered.root, proof)
    except ProofError as error:
        raise WitnessError(
            f"the log of {offered.size} leaves does not hold the {seen.size} seen before: {error}"
        ) from error


@define
class Witness:
    """A witness of one log.

    Attributes:
        folder: where it remembers and publishes; not the log's.
        log_key: whom it believes.
        key: under which it cosigns.
        seen: what it cosigned last.
    """

    folder: Path
    log_key: VerifierKey
    key: VerifierKey
    _signer: Signer = field(repr=False)
    seen: Checkpoint | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Remember.

        Raises:
            WitnessError: the memory is not what this witness left.
        """
        path = self.folder / WITNESSED
        if path.exists():
            try:
                note = Note.parse(path.read_bytes())
                note.check(self.key)
                self.seen = Checkpoint.parse(note.text)
            except NoteError as error:
                raise WitnessError(f"{path}: {error}") from error

    def look(self, offered: bytes, prove: Prove, at_s: int) -> bool:
        """Look at the log's last note; True if it was new and is cosigned now.

        Args:
            offered: the signed note.
            prove: the log's proofs.
            at_s: the present second, by the witness' own clock.

        Raises:
            WitnessError: it does not follow from what was seen, or the log did not sign it.
            OSError: it could not be remembered; nothing was published.
        """
        try:
            note = Note.parse(offered)
            note.check(self.log_key)
            checkpoint = Checkpoint.parse(note.text)
        except NoteError as error:
            raise WitnessError(str(error)) from error
        judge(self.seen, checkpoint, prove)
        if checkpoint == self.seen:
            return False
        own = (self.log_key.name, self.log_key.key_id)
        signatures = tuple(line for line in note.signatures if line[:2] == own)
        cosigned = cosign(Note(note.text, signatures), self.key, self._signer, at_s)
        write_durably(self.folder / WITNESSED, bytes(cosigned), mode=_READABLE)
        self.seen = checkpoint
        return True
