"""The process that signs: `turnout serve audit`.

It holds the log's private key and nothing else of value: it reads the stream, which has no card
data, and writes `<data_dir>/audit/`. In production the key belongs in a key-management service.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import trio

from chassis.clock import now_us
from chassis.log import get_logger
from chassis.metrics import Metrics
from chassis.service import Service
from ledger.audit.folders import AUDIT_FOLDER, LOG_KEY_STEM, log_folder
from ledger.audit.following import Following
from ledger.audit.keys import KeyPair, load_or_make, load_pair
from ledger.audit.log import AuditLog
from ledger.audit.notes import ED25519
from ledger.stream.open import stream_reader

_NAME_BYTES: Final = 4

_log = get_logger(__name__)


async def serve(service: Service) -> None:
    """Follow the stream until the service drains.

    Raises:
        AuditLogError: the log's files do not fit each other or the stream: nothing is signed.
        KeyFileError: its key cannot be used.
        OSError: it cannot write; the next start goes on behind the last checkpoint.
    """
    settings = service.settings.audit
    folder = service.data_dir / AUDIT_FOLDER
    pair = log_key(folder, settings.origin)
    log = AuditLog.open(log_folder(service.data_dir), pair.public.name, pair.public, pair)
    async with stream_reader(service.settings, service.data_dir) as reader:
        following = Following(log, reader, settings, now_us)
        await following.check()
        _register(service.metrics, following)
        _log.info("audit log up", origin=log.origin, leaves=log.size)
        service.ready()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(following.run)
            await service.draining.wait()
            nursery.cancel_scope.cancel()
        await following.sign()
    log.close()


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


def _register(metrics: Metrics, following: Following) -> None:
    metrics.counter(
        "leaves_total", "Records taken into the Merkle tree", lambda: following.leaves_total
    )
    metrics.counter("checkpoints_total", "Checkpoints signed", lambda: following.checkpoints_total)
    metrics.gauge(
        "unsigned_age_seconds",
        "Since when nothing was signed: how long a change could go unseen",
        lambda: max(0.0, (now_us() - following.signed_at_us) / 1_000_000),
    )
