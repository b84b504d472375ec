"""The HSM as the api sees it: merchants' secrets unsealed, public capture keys listed.

The api holds no key of its own. What it asks for goes to any worker that is connected, with the
deadline that the settings give the HSM for opening cards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from api.auth.canonical import SigningKey
from api.errors import Problem, ProblemError
from chassis.log import get_logger
from chassis.mux import MuxClient, MuxError
from hsm_sim.wire import (
    CaptureKey,
    HSMReply,
    HSMRequest,
    KeysListed,
    ListKeys,
    SealSecrets,
    SecretsSealed,
    SecretsUnsealed,
    UnsealSecrets,
)
from ledger.merchants import secret_context

RETRY_AFTER_S: Final = 1

log = get_logger(__name__)


class KeyService:
    """Asks the HSM.

    Args:
        workers: one client per worker of the HSM.
        deadline_s: how long an answer may take.
    """

    def __init__(
        self, workers: Sequence[MuxClient[HSMRequest, HSMReply]], *, deadline_s: float
    ) -> None:
        self._workers = workers
        self._deadline_s = deadline_s
        self.unopened_secrets_total = 0

    @property
    def connected(self) -> bool:
        """Whether a worker can be asked now."""
        return any(worker.connected for worker in self._workers)

    async def unseal(
        self, publishable_keys: Sequence[str], blobs: Sequence[bytes]
    ) -> list[SigningKey | None]:
        """The secret keys behind sealed blobs, in order; None, counted, where one does not open.

        Raises:
            ProblemError: `hsm_unavailable`.
        """
        contexts = [secret_context(publishable_key) for publishable_key in publishable_keys]
        return [
            SigningKey(secret) if secret else None for secret in await self.open(blobs, contexts)
        ]

    async def open(self, blobs: Sequence[bytes], contexts: Sequence[bytes]) -> list[bytes]:
        """What was sealed, in order; empty, counted, where a blob does not open in its context.

        Raises:
            ProblemError: `hsm_unavailable`.
        """
        reply = await self._ask(UnsealSecrets(list(blobs), list(contexts)))
        if not isinstance(reply, SecretsUnsealed) or len(reply.secrets) != len(blobs):
            raise _unavailable(f"refused to unseal: {type(reply).__name__}")
        unopened = reply.secrets.count(b"")
        if unopened:
            self.unopened_secrets_total += unopened
            log.error("secrets of merchants do not open", count=unopened)
        return reply.secrets

    async def seal(self, secret: bytes, context: bytes) -> bytes:
        """Seal one secret for the ledger.

        Raises:
            ProblemError: `hsm_unavailable`.
        """
        reply = await self._ask(SealSecrets([secret], [context]))
        if not isinstance(reply, SecretsSealed) or len(reply.blobs) != 1:
            raise _unavailable(f"refused to seal: {type(reply).__name__}")
        return reply.blobs[0]

    async def capture_keys(self) -> list[CaptureKey]:
        """The public keys that cards may be sealed to, newest first.

        Raises:
            ProblemError: `hsm_unavailable`.
        """
        reply = await self._ask(ListKeys())
        if not isinstance(reply, KeysListed):
            raise _unavailable(f"refused to list keys: {type(reply).__name__}")
        return reply.keys

    async def _ask(self, request: HSMRequest) -> HSMReply:
        worker = next((worker for worker in self._workers if worker.connected), None)
        if worker is None:
            raise _unavailable("not connected")
        try:
            with trio.fail_after(self._deadline_s):
                return await worker.call(request)
        except (MuxError, trio.TooSlowError) as error:
            raise _unavailable(f"{type(error).__name__}") from error


def _unavailable(reason: str) -> ProblemError:
    log.warning("the key service did not answer", reason=reason)
    return ProblemError(Problem("hsm_unavailable", retry_after_s=RETRY_AFTER_S))
