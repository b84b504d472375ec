"""Messages between codec and links that need a MAC made, or the one they carry verified.

Theory of operation. Both directions gather in a queue each while the HSM is being asked, and go to
it together in one request: one round trip for all that a tick brought, whatever it is. There is one
request at a time, so everything leaves and arrives in the order in which it came. What a round trip
costs both sides is that of dozens of MACs; so under load, where nobody waits for a millisecond but
all wait for the CPU, messages are let gather a little before they are asked about, and a lone
payment never is. Nothing passes unasked: while the HSM is away messages wait, the outgoing ones
until they are too old to be sent, which is known to be `not_sent`, the incoming ones until their
own deadlines have made their messages unknown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Never, Protocol

import trio
from msgspec import Struct

from chassis.bell import Bell
from chassis.log import get_logger
from hsm_sim.wire import MacRefused, Macs, MacsAnswered, MacToGenerate, MacToVerify, MacVerified
from switch.hsm import AskHSM, HSMUnavailableError
from switch.link.events import Fields
from switch.link.macs import authenticated, sealed

INCOMING_MAX: Final = 16_384  # more than all windows hold; beyond it a network floods us
AGAIN_S: Final = 0.05  # between tries while the HSM is away
GATHER_FROM: Final = 8  # messages in one request: so many in a round trip are load
GATHER_S: Final = 0.003  # then, before the next request: well below what a charge takes under load

log = get_logger(__name__)


class Outgoing(Struct, gc=False):
    """A packed message with room for its MAC.

    `done` gets it whole, or why it has none: `mac_refused`, or `mac_unavailable` when `give_up_at`
    has passed; it is called from the stage's task, and must be quick.
    """

    key_id: str
    frame: bytes
    give_up_at: float  # monotonic seconds
    done: Callable[[bytes, str], None]


class Receiver(Protocol):
    """Who hears what the MACs of its messages are worth."""

    def judged(self, message: Incoming, verdict: MacVerified | MacRefused) -> None:
        """One message; quick."""

    def all_judged(self) -> None:
        """The last of those that were asked about together."""


class Incoming(Struct, gc=False):
    """A message that came in with a MAC."""

    question: MacToVerify
    receiver: Receiver
    fields: Fields
    frame: bytes
    connection: int  # of its link, counted


class MacStage:
    """The one asker of a network's MACs.

    Args:
        network: by its name.
        ask: asks the HSM.
        batch_max: messages a request.

    Attributes:
        batches_total: requests answered.
        generated_total: MACs made.
        verified_total: MACs found good.
        bad_total: MACs found wrong, or of unknown keys.
        dropped_total: incoming messages beyond what may wait.
        refused_total: outgoing messages for whose key the HSM makes no MACs.
    """

    def __init__(self, network: str, ask: AskHSM, *, batch_max: int) -> None:
        self._network = network
        self._ask = ask
        self._batch_max = batch_max
        self._outgoing: deque[Outgoing] = deque()
        self._incoming: deque[Incoming] = deque()
        self._bell = Bell()
        self._away = False
        self._loaded = False
        self.batches_total = 0
        self.generated_total = 0
        self.verified_total = 0
        self.bad_total = 0
        self.dropped_total = 0
        self.refused_total = 0

    def make(self, message: Outgoing) -> None:
        """Have a MAC made; never blocks."""
        self._outgoing.append(message)
        self._bell.ring()

    def judge(self, message: Incoming) -> None:
        """Have a MAC verified; never blocks."""
        if len(self._incoming) >= INCOMING_MAX:
            self.dropped_total += 1
            return
        self._incoming.append(message)
        self._bell.ring()

    def __len__(self) -> int:
        """Messages waiting, both ways."""
        return len(self._outgoing) + len(self._incoming)

    async def run(self) -> Never:
        """Ask for as long as the network's links live."""
        while True:
            while not (self._outgoing or self._incoming):
                await self._bell.wait()
            if self._loaded and len(self) < self._batch_max:
                await trio.sleep(GATHER_S)
            if self._away:
                self._give_up(trio.current_time())
            most = self._batch_max
            room = max(most - len(self._incoming), most // 2)  # neither direction waits for ever
            outgoing = list(islice(self._outgoing, room))
            incoming = list(islice(self._incoming, most - len(outgoing)))
            self._loaded = len(outgoing) + len(incoming) >= GATHER_FROM
            answered = await self._asked(outgoing, incoming)
            if answered is None:
                await trio.sleep(AGAIN_S)
                continue
            for _ in outgoing:
                self._outgoing.popleft()
            for _ in incoming:
                self._incoming.popleft()
            self._hand_on(outgoing, incoming, answered)

    async def _asked(
        self, outgoing: Sequence[Outgoing], incoming: Sequence[Incoming]
    ) -> MacsAnswered | None:
        network = self._network
        request = Macs(
            [MacToGenerate(network, each.key_id, authenticated(each.frame)) for each in outgoing],
            [each.question for each in incoming],
        )
        try:
            reply = await self._ask(request)
        except HSMUnavailableError as error:
            if not self._away:
                log.warning("macs_wait_for_the_hsm", network=network, error=str(error))
            self._away = True
            return None
        if not isinstance(reply, MacsAnswered):
            log.error("macs_not_answered", network=network, reply=type(reply).__name__)
            return None
        self._away = False
        self.batches_total += 1
        return reply

    def _hand_on(
        self, outgoing: Sequence[Outgoing], incoming: Sequence[Incoming], answered: MacsAnswered
    ) -> None:
        for message, mac in zip(outgoing, answered.generated, strict=True):
            if isinstance(mac, MacRefused):
                self.refused_total += 1
                message.done(b"", "mac_refused")
            else:
                self.generated_total += 1
                message.done(sealed(message.frame, mac), "")
        for received, verdict in zip(incoming, answered.verified, strict=True):
            if isinstance(verdict, MacVerified):
                self.verified_total += 1
            else:
                self.bad_total += 1
            received.receiver.judged(received, verdict)
        for receiver in {
            id(received.receiver): received.receiver for received in incoming
        }.values():
            receiver.all_judged()

    def _give_up(self, now: float) -> None:
        """Let go of what would be too old once it had its MAC."""
        waiting, self._outgoing = self._outgoing, deque()
        for message in waiting:
            if message.give_up_at > now:
                self._outgoing.append(message)
            else:
                message.done(b"", "mac_unavailable")
