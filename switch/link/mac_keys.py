"""The MAC keys of one network: which one we use, and how new ones come into use (iso8583.md 3.19).

Theory of operation. Keys live in the HSM; here is known which of them is current, by the id that
DE 53 names. The network makes keys and sends them in key blocks, because we asked (0800/161) or of
its own accord (0800/101). The HSM judges: a key that it takes in is at once promoted, for its maker
has it. The key before stays valid for the overlap, so answers under way are understood. Whatever
goes wrong on the way, the key in use stays in use: a block that does not open, a check value that
does not fit, an answer that never comes, an HSM that is away.

Several switches share one HSM. Another one may have promoted a key, which shows in the HSM's list;
it is read at the start, from time to time, and whenever the HSM refuses the key that we name.

Time is the caller's; what waits here waits for the HSM only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chassis.log import get_logger
from hsm_sim.wire import (
    ChangeSessionKey,
    ImportSessionKey,
    KeyRefused,
    ListNetworkKeys,
    NetworkKeysListed,
    SessionKeyChanged,
)
from switch.hsm import AskHSM, HSMUnavailableError
from switch.iso8583.key_data import KeyData, KeyDataError
from switch.link.events import Fields

UNAVAILABLE: Final = "hsm_unavailable"
MALFORMED: Final = "malformed"

log = get_logger(__name__)


class MacKeys:
    """What is known of one network's keys.

    Args:
        network: by its name.
        ask: asks the HSM.
        now_us: microseconds since 1970, for ages.

    Attributes:
        current: the id that DE 53 of our messages names; empty = there is no key yet.
        check_value: of that key, six hex digits.
        changed_at_s: when it came into use, seconds since 1970.
        changes_total: keys that came into use while this process ran.
        refusals_total: keys that were brought and not taken.
    """

    __slots__ = (
        "_ask",
        "_network",
        "_now_us",
        "changed_at_s",
        "changes_total",
        "check_value",
        "current",
        "refusals_total",
    )

    def __init__(self, network: str, ask: AskHSM, now_us: Callable[[], int]) -> None:
        self._network = network
        self._ask = ask
        self._now_us = now_us
        self.current = ""
        self.check_value = ""
        self.changed_at_s = 0
        self.changes_total = 0
        self.refusals_total = 0

    @property
    def age_s(self) -> int:
        """Seconds that the current key has been in use; 0 without one."""
        return self._now_us() // 1_000_000 - self.changed_at_s if self.current else 0

    def has_key(self) -> bool:
        """Whether there is a key to make MACs with."""
        return bool(self.current)

    async def refresh(self) -> bool:
        """Read which key is current; False, and nothing changes, while the HSM is away."""
        try:
            reply = await self._ask(ListNetworkKeys())
        except HSMUnavailableError:
            return False
        if not isinstance(reply, NetworkKeysListed):
            return False
        for key in reply.keys:
            if (key.network, key.usage, key.state) == (self._network, "mac", "current"):
                self._use(key.key_id, key.check_value, key.promoted_at)
        return True

    async def take(self, fields: Fields) -> str:
        """Take in a key that the network has sent and use it from now on.

        Returns:
            Empty, or why not: the HSM's code, `malformed`, or `hsm_unavailable`.
        """
        try:
            data = KeyData.of(fields)
        except KeyDataError as error:
            log.warning("mac_key_malformed", network=self._network, error=str(error))
            return self._refused(MALFORMED)
        brought = ImportSessionKey(self._network, data.key_id, data.key_block, data.check_value)
        try:
            reply = await self._ask(brought)
            if isinstance(reply, SessionKeyChanged):
                return await self._promote(data.key_id)
        except HSMUnavailableError:
            return self._refused(UNAVAILABLE)
        return self._refused(reply.code if isinstance(reply, KeyRefused) else MALFORMED)

    async def peer_uses(self, key_id: str) -> None:
        """The network has made a MAC with a key that we have not promoted: it has it, so do."""
        try:
            await self._promote(key_id)
        except HSMUnavailableError:
            log.warning("mac_key_not_promoted", network=self._network, key=key_id)

    async def _promote(self, key_id: str) -> str:
        """Confirm that the network has a key, for it made it or uses it, and use it too."""
        reply = await self._ask(ChangeSessionKey(self._network, key_id, "confirm"))
        if isinstance(reply, SessionKeyChanged):
            reply = await self._ask(ChangeSessionKey(self._network, key_id, "promote"))
        if not isinstance(reply, SessionKeyChanged):
            return self._refused(reply.code if isinstance(reply, KeyRefused) else MALFORMED)
        self._use(reply.key.key_id, reply.key.check_value, reply.key.promoted_at)
        return ""

    def _use(self, key_id: str, check_value: str, since_s: int) -> None:
        if key_id == self.current:
            return
        self.current, self.check_value, self.changed_at_s = key_id, check_value, since_s
        self.changes_total += 1
        log.info("mac_key_in_use", network=self._network, key=key_id, check_value=check_value)

    def _refused(self, why: str) -> str:
        self.refusals_total += 1
        return why
