"""The process that watches the log: `turnout serve witness`.

It has a user, a key and a folder of its own, which may lie on another disk or a mount of another
machine (`audit.witness_dir`). It reads the log's published files and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Never

import trio
from attrs import define

from chassis.clock import now_s
from chassis.durable import NO_ROOM, write_durably
from chassis.log import get_logger
from chassis.service import Service
from ledger.audit.folders import (
    AUDIT_FOLDER,
    LOG_KEY_STEM,
    WITNESS_KEY_STEM,
    log_folder,
    witness_folder,
)
from ledger.audit.keys import KeyFileError, load_or_make, load_public
from ledger.audit.level_files import LevelFileError, LevelFiles
from ledger.audit.levels import nodes_from
from ledger.audit.log import CHECKPOINT, LEVELS
from ledger.audit.merkle import consistency_proof
from ledger.audit.notes import COSIGNATURE
from ledger.audit.witness import Witness, WitnessError

_READABLE: Final = 0o444

_log = get_logger(__name__)


@define
class Watching:
    """A witness at work.

    Attributes:
        cosigned_total: checkpoints cosigned by this process.
        refused: why the log's present checkpoint is not cosigned; empty while all is well.
    """

    _audit_folder: Path
    _log_folder: Path
    _folder: Path
    cosigned_total: int = 0
    refused: str = ""
    _witness: Witness | None = None

    async def run(self, interval_s: float) -> Never:
        """Look again and again until canceled.

        Raises:
            OSError: what was seen cannot be remembered.
        """
        while True:
            self.look()
            await trio.sleep(interval_s)

    def look(self) -> None:
        """Look once; what does not follow is logged once, and is not cosigned."""
        try:
            self._look()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._witness = None  # what it remembers is what its files have
            if not self.refused:
                _log.error("nothing is witnessed", reason=error.strerror)
            self.refused = error.strerror or "no room"
        except (WitnessError, LevelFileError) as error:
            if self.refused != str(error):
                _log.error("the audit log is refused", reason=str(error))
            self.refused = str(error)
        else:
            self.refused = ""

    def _look(self) -> None:
        path = self._log_folder / CHECKPOINT
        if not path.exists():
            if self._witness is not None and self._witness.seen is not None:
                raise WitnessError("the log's checkpoint is gone")
            return
        if self._witness is None:
            self._witness = self._open()
        with LevelFiles(self._log_folder / LEVELS) as levels:
            nodes = nodes_from(levels.read)
            new = self._witness.look(
                path.read_bytes(),
                lambda old, size: consistency_proof(nodes, old, size),
                int(now_s()),
            )
        self.cosigned_total += new

    def _open(self) -> Witness:
        """Begin, or go on: the key that the log had first is the one that is believed."""
        pinned = self._folder / "log.pub"
        if not pinned.exists():
            offered = load_public(self._audit_folder / f"{LOG_KEY_STEM}.pub")
            write_durably(pinned, f"{offered}\n".encode(), mode=_READABLE)
        try:
            log_key = load_public(pinned)
        except KeyFileError as error:
            raise WitnessError(str(error)) from error
        pair = load_or_make(self._folder / WITNESS_KEY_STEM, _name_of(log_key.name), COSIGNATURE)
        return Witness(self._folder, log_key, pair.public, pair)


async def serve(service: Service) -> None:
    """Watch the log until the service drains.

    Raises:
        KeyFileError: a key cannot be used.
        OSError: it cannot remember. Where its disk is full it tries again instead.
    """
    settings = service.settings.audit
    watching = Watching(
        service.data_dir / AUDIT_FOLDER,
        log_folder(service.data_dir),
        witness_folder(service.data_dir, settings.witness_dir),
    )
    service.metrics.counter(
        "cosigned_total", "Checkpoints cosigned", lambda: watching.cosigned_total
    )
    service.metrics.gauge(
        "refused_total", "1 while the log's checkpoint is refused", lambda: bool(watching.refused)
    )
    service.ready()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watching.run, settings.witness_interval_s)
        await service.draining.wait()
        nursery.cancel_scope.cancel()
    watching.look()


def _name_of(log_name: str) -> str:
    return f"witness.{log_name}"
