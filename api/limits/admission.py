"""The last step before an endpoint: the nonce is used up, and key and merchant may ask.

Here a request is known to be the merchant's. One api process keeps all of it in memory
(`LocalAdmission`); several share it (`api.limits.shared`). Both pass the same tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from attrs import define
from msgspec import Struct

from api.auth.credentials import AuthenticationError
from api.errors import Problem, ProblemError
from api.limits.counts import RefusalCounts
from api.limits.gcra import NS_PER_S
from api.limits.limiter import Limiter
from api.nonces import NonceTable, NonceTableFullError

NONCE_MARGIN_S: Final = 2.0  # whole seconds on either side of the window
NONCE_RETRY_AFTER_MAX_S: Final = 60
NO_NONCE: Final = b""  # of a browser, which signs nothing


class Entrant(Struct, gc=False, frozen=True):
    """A request that is the merchant's beyond doubt.

    Attributes:
        publishable_key: by which it came.
        merchant_id: 16 bytes.
        method: of HTTP.
        arrived_at: monotonic seconds.
        nonce: or `NO_NONCE`.
        timestamp_s: seconds since 1970; counts with a nonce only.
    """

    publishable_key: bytes
    merchant_id: bytes
    method: bytes
    arrived_at: float
    nonce: bytes
    timestamp_s: int


Refusal = AuthenticationError | Problem
DeliverAdmission = Callable[[Refusal | None], None]


class Admission(Protocol):
    """Lets requests in."""

    def admit(self, entrant: Entrant, deliver: DeliverAdmission) -> None:
        """Deliver None to let a request in, or why not: at once, or when it has been found out.

        Raises:
            ProblemError: `overloaded` or `shutting_down`; nothing will be delivered.
        """


@define
class LocalAdmission:
    """Admission by the memory of this process.

    Args:
        nonces: what was used.
        limiter: how often key and merchant may ask.
        refusals: where it counts what it refuses for want of memory.
    """

    nonces: NonceTable
    limiter: Limiter
    refusals: RefusalCounts

    def admit(self, entrant: Entrant, deliver: DeliverAdmission) -> None:
        """Deliver at once; see `Admission`."""
        deliver(self.judge(entrant))

    def judge(self, entrant: Entrant) -> Refusal | None:
        """Let a request in, or say why not."""
        try:
            if entrant.nonce and (refusal := self._use(entrant)) is not None:
                return refusal
            asked = entrant.method, int(entrant.arrived_at * NS_PER_S)
            self.limiter.admit_merchant(entrant.publishable_key, entrant.merchant_id, asked)
        except ProblemError as error:
            return error.problem
        except NonceTableFullError as error:
            self.refusals.count("nonce_store_full")
            retry_after_s = min(error.retry_after_s, NONCE_RETRY_AFTER_MAX_S)
            return Problem("nonce_store_full", retry_after_s=retry_after_s)
        return None

    def _use(self, entrant: Entrant) -> AuthenticationError | None:
        nonces = self.nonces
        if entrant.timestamp_s <= nonces.forgotten_until_s:
            return older_than_memory()
        is_new = nonces.use(
            entrant.publishable_key, entrant.nonce, entrant.timestamp_s, entrant.arrived_at
        )
        return None if is_new else nonce_reused()


def older_than_memory() -> AuthenticationError:
    """A replay of such a request could not be told from the first."""
    return AuthenticationError(
        "timestamp_outside_window",
        "X-Request-Timestamp is older than the server's memory of nonces: sign again",
    )


def nonce_reused() -> AuthenticationError:
    """A nonce is good once."""
    return AuthenticationError("nonce_reused", "X-Request-Nonce was used before under this key")
