"""The process that signs: `turnout serve audit`.

It holds the log's private key and nothing else of value: it reads the stream, which has no card
data, and writes `<data_dir>/audit/`. In production the key belongs in a key-management service.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Never, TypeVar

import trio
from attrs import define

from chassis.clock import now_us
from chassis.durable import NO_ROOM
from chassis.log import get_logger
from chassis.service import Service
from ledger.audit.folders import AUDIT_FOLDER, LOG_KEY_STEM, log_folder
from ledger.audit.following import Following
from ledger.audit.keys import KeyPair, load_or_make, load_pair
from ledger.audit.log import AuditLog, AuditLogError
from ledger.audit.notes import ED25519
from ledger.stream.errors import StreamError
from ledger.stream.open import stream_reader

T = TypeVar("T")

_NAME_BYTES: Final = 4
LOOK_AGAIN_S: Final = 1.0  # at what does not fit: somebody may put it right

_log = get_logger(__name__)


@define
class Signing:
    """How the process stands.

    Attributes:
        following: the log behind its stream; None until both fit.
        refused: why nothing is signed; empty while all is well.
    """

    following: Following | None = None
    refused: str = ""
    _told: type[Exception] | None = None

    async def once_it_fits(self, look: Callable[[], Awaitable[T]]) -> T:
        """Look again and again until nothing is refused; a kind of refusal is logged once."""
        while True:
            try:
                found = await look()
            except (AuditLogError, StreamError) as error:
                await self.refuse(error)
            else:
                if self._told is not OSError:  # that there is room again only a signature shows
                    self.signed()
                return found

    async def refuse(self, error: Exception) -> None:
        """Note why nothing is signed, and wait a little."""
        if self._told is not type(error):  # its text may count what comes
            _log.error("nothing is signed", reason=str(error))
        self.refused, self._told = str(error), type(error)
        await trio.sleep(LOOK_AGAIN_S)

    def signed(self) -> None:
        """All is well."""
        if self.refused:
            _log.warning("signing again")
        self.refused, self._told = "", None

    def signed_at_us(self, otherwise: int) -> int:
        """When something was last signed, or there was nothing new to sign."""
        return self.following.signed_at_us if self.following else otherwise


async def serve(service: Service) -> None:
    """Sign for the stream until the service drains.

    A log that fits neither its own files nor the stream signs nothing, and says so, until it fits
    again: no payment waits for it. Where its disk is full it opens its files again and again, and
    goes on behind the last checkpoint once there is room.

    Raises:
        KeyFileError: its key cannot be used.
        OSError: it cannot write; the next start goes on behind the last checkpoint.
    """
    pair = log_key(service.data_dir / AUDIT_FOLDER, service.settings.audit.origin)
    signing = Signing()
    _register(service, signing)
    service.ready()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_sign, service, pair, signing)
        await service.draining.wait()
        nursery.cancel_scope.cancel()
    if signing.following is not None and not signing.refused:
        await signing.following.sign()
        signing.following.log.close()


async def _sign(service: Service, pair: KeyPair, signing: Signing) -> Never:
    """Follow the stream for ever, also where the disk is full at times."""
    while True:
        try:
            await _follow(service, pair, signing)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            if signing.following is not None:
                signing.following.log.close()
                signing.following = None
            await signing.refuse(OSError(error.errno, error.strerror))


async def _follow(service: Service, pair: KeyPair, signing: Signing) -> Never:
    """Open the log, hold it to the stream, follow it."""
    folder = log_folder(service.data_dir)

    async def opened() -> AuditLog:
        return AuditLog.open(folder, pair.public.name, pair.public, pair)

    log = await signing.once_it_fits(opened)
    async with stream_reader(service.settings, service.data_dir) as reader:
        following = Following(log, reader, service.settings.audit, now_us, signing.signed)
        await signing.once_it_fits(following.check)
        signing.following = following
        _log.info("audit log up", origin=log.origin, leaves=log.size)
        await following.run()


def log_key(folder: Path, origin: str) -> KeyPair:
    """The log's key; at the first start it is made, and with it the log's name.

    Args:
        folder: of the key.
        origin: the name to give; empty makes one that is like no other.
    """
    stem = folder / LOG_KEY_STEM
    path = stem.with_suffix(".key")
    if path.exists() and not origin:
        origin = load_pair(path).public.name
    return load_or_make(stem, origin or f"turnout-{os.urandom(_NAME_BYTES).hex()}/0", ED25519)


def _register(service: Service, signing: Signing) -> None:
    started_us = now_us()
    metrics = service.metrics
    metrics.counter(
        "leaves_total",
        "Records taken into the Merkle tree",
        lambda: signing.following.leaves_total if signing.following else 0,
    )
    metrics.counter(
        "checkpoints_total",
        "Checkpoints signed",
        lambda: signing.following.checkpoints_total if signing.following else 0,
    )
    metrics.gauge(
        "unsigned_age_seconds",
        "Since when nothing was signed: how long a change could go unseen",
        lambda: max(0.0, (now_us() - signing.signed_at_us(started_us)) / 1_000_000),
    )
    metrics.gauge(
        "refused_total",
        "1 while nothing is signed because the log does not fit its files or the stream",
        lambda: bool(signing.refused),
    )
    service.checks["log"] = lambda: not signing.refused
