"""All that says how often somebody may ask, put together."""

from __future__ import annotations

from attrs import frozen

from api.limits.addresses import Addresses
from api.limits.admission import Admission, LocalAdmission
from api.limits.counts import RefusalCounts
from api.limits.limiter import Limiter
from api.limits.shared import SharedAdmission
from api.limits.velocity import Velocity
from api.nonces import NonceTable
from chassis.redis import RedisScript
from chassis.settings import Settings


@frozen
class Limiting:
    """The limits of one api process.

    Attributes:
        limiter: by address, and what is kept in memory by key and merchant.
        velocity: what browsers' charges come to.
        refusals: what did not come through.
        admission: uses up nonces, and asks the limits of key and merchant.
        shared: the same admission where it is shared with other api processes, else None.
    """

    limiter: Limiter
    velocity: Velocity
    refusals: RefusalCounts
    admission: Admission
    shared: SharedAdmission | None


def make_limiting(settings: Settings, nonces: NonceTable, redis: RedisScript | None) -> Limiting:
    """Put the limits together; does no I/O.

    Args:
        settings: the whole tree.
        nonces: of this process.
        redis: what is shared with other api processes, if anything is.
    """
    addresses = Addresses(settings.limits.trusted_proxies)
    limiter, refusals = Limiter(settings.limits, addresses), RefusalCounts()
    velocity = Velocity(settings.velocity, addresses)
    local = LocalAdmission(nonces, limiter, refusals)
    if redis is None:
        return Limiting(limiter, velocity, refusals, local, None)
    shared = SharedAdmission(redis, local, settings)
    return Limiting(limiter, velocity, refusals, shared, shared)
