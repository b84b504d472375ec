"""MACs and their keys for all links of one network, where its messages carry any.

`macs` says what is authenticated, `mac_stage` has it done in batches, `mac_keys` knows the key;
here the three meet the links. Who has no key asks for one, on one link at a time, for a network
that gives two keys in one breath can only believe in the later one. A key that has grown old is
replaced by another that we ask for; a request that is not answered, or a key that is not to be
used, leaves the old one where it is and is tried again later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Never, Protocol

import trio
from msgspec import Struct

from chassis.bell import Bell
from chassis.log import get_logger
from chassis.settings.tree import Network
from switch.iso8583 import Dialect
from switch.iso8583.mti import NETWORK_MANAGEMENT_REQUEST
from switch.link.correlation import Slot
from switch.link.events import Fields
from switch.link.mac_keys import MacKeys
from switch.link.mac_stage import MacStage, Outgoing
from switch.link.macs import with_room
from switch.link.session import APPROVED, SECURITY_VIOLATION, Told

CHECK_INTERVAL_S: Final = 5.0  # how late a key may be found old, or changed by another switch
RETRY_S: Final = 60.0  # between requests for a key that were of no use

log = get_logger(__name__)


class NoMacKeyError(Exception):
    """A message must carry a MAC and there is no key to make it with; nothing may be sent."""


class Keyed(bytes):
    """A packed message with room for its MAC, which knows its key."""

    key_id: str


class KeyedLink(Protocol):
    """What keys have to do with a link."""

    @property
    def is_up(self) -> bool:
        """Whether it has signed on."""

    @property
    def connection(self) -> int:
        """Of its connections, counted: the present one, or the last."""

    def ask_key(self) -> bool:
        """Ask for a key; False where the link is in no state to."""

    def key_changed(self) -> None:
        """There is a new key."""

    def give_up(self, reason: str) -> None:
        """There will be no key: end the connection if it waits for one."""

    def answer(self, request: Fields, code: str, frame: bytes, connection: int) -> None:
        """Answer the peer's 0800, unless that connection is over."""


class _Job(Struct):
    told: Told
    link: KeyedLink
    frame: bytes
    connection: int


class Authentication:
    """One network's MACs.

    Args:
        name: of the network.
        network: its settings.
        dialect: packs.
        keys: of the network.
        stage: makes and verifies MACs.
        alarm: raises one.

    Attributes:
        keys: as given.
        stage: as given.
        names: of the values of DE 70.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        dialect: Dialect,
        *,
        keys: MacKeys,
        stage: MacStage,
        alarm: Callable[[str], None],
    ) -> None:
        self.keys = keys
        self.stage = stage
        self.names: Mapping[str, str] = {
            value: function for function, value in dialect.network_functions.items()
        }
        self._name = name
        self._network = network
        self._dialect = dialect
        self._alarm = alarm
        self._jobs: deque[_Job] = deque()
        self._peer_uses = ""
        self._bell = Bell()
        self._asked_until = 0.0  # a request for a key is under way, on some link
        self._links: Sequence[KeyedLink] = ()

    def encode(self, fields: Mapping[int, str]) -> Keyed:
        """Pack a message with room for a MAC by the present key.

        Raises:
            EncodeError: the fields are no message of the dialect.
            NoMacKeyError: there is no key.
        """
        key_id = self.keys.current
        if not key_id:
            raise NoMacKeyError("there is no MAC key")
        frame = Keyed(self._dialect.encode(with_room(fields, key_id)))
        frame.key_id = key_id
        return frame

    def protect(
        self,
        slot: Slot,
        frame: bytes,
        give_up_at: float,
        queue: Callable[[Slot, bytes], None],
        refuse: Callable[[Slot, str], None],
    ) -> None:
        """Have a financial message queued once it has its MAC, or refused."""
        if not isinstance(frame, Keyed):  # not by `encode`: a fault of ours, but no byte has left
            refuse(slot, "mac_refused")
            return

        def done(whole: bytes, why: str) -> None:
            if why:
                refuse(slot, why)
            else:
                queue(slot, whole)

        self.stage.make(Outgoing(frame.key_id, frame, give_up_at, done))

    def wants_mac(self, fields: Fields) -> bool:
        """Whether network management of ours carries a MAC: where there is a key to agree on."""
        asks_for_key = (
            fields[0] == NETWORK_MANAGEMENT_REQUEST
            and self.names.get(fields.get(70, "")) == "key_exchange"
        )
        return self.keys.has_key() and not asks_for_key

    def heed(self, told: Told, link: KeyedLink, frame: bytes) -> None:
        """A link needs a key, was given or refused one, or was sent one; quick."""
        self._jobs.append(_Job(told, link, frame, link.connection))
        self._bell.ring()

    def peer_uses(self, key_id: str) -> None:
        """A MAC verified with a key that we have not promoted."""
        self._peer_uses = key_id
        self._bell.ring()

    async def run(self, links: Sequence[KeyedLink]) -> Never:
        """Serve the links, a list that may change, until canceled."""
        self._links = links
        await self.keys.refresh()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.stage.run)
            nursery.start_soon(self._grow_old)
            await self._work()
        raise AssertionError("keys are worked on for ever")

    async def _work(self) -> Never:
        while True:
            if self._peer_uses:
                key_id, self._peer_uses = self._peer_uses, ""
                await self.keys.peer_uses(key_id)
                self._tell_links()
            elif self._jobs:
                job = self._jobs.popleft()
                await self._do(job)
            else:
                await self._bell.wait()

    async def _do(self, job: _Job) -> None:
        match job.told.function:
            case "key_needed":
                await self._need(job.link, refused=39 in job.told.fields)
            case "key_refused":
                self._asked_until = 0.0
                self._fail(job.link, f"no MAC key was given: {job.told.fields.get(39, '')}")
            case "key_given":
                self._asked_until = 0.0
                await self._take(job)
            case "key_pushed":
                code = APPROVED if await self._take(job) else SECURITY_VIOLATION
                job.link.answer(job.told.fields, code, job.frame, job.connection)

    async def _need(self, link: KeyedLink, *, refused: bool) -> None:
        """A link cannot sign on: there is a key by now, or another switch has one, or we ask."""
        before = self.keys.current if refused else ""
        await self.keys.refresh()
        if self.keys.current != before:
            self._tell_links()
        elif trio.current_time() >= self._asked_until:
            self._ask(link)

    def _ask(self, link: KeyedLink) -> None:
        if link.ask_key():
            self._asked_until = trio.current_time() + self._network.sign_on_timeout_s

    async def _take(self, job: _Job) -> bool:
        """Judge a key that came; whether it is in use now."""
        refusal = await self.keys.take(job.told.fields)
        if refusal:
            self._fail(job.link, f"the MAC key that came is not usable: {refusal}")
            return False
        self._tell_links()
        return True

    def _fail(self, link: KeyedLink, reason: str) -> None:
        self._alarm(reason)
        link.give_up(reason)

    def _tell_links(self) -> None:
        if self.keys.has_key():
            for link in tuple(self._links):
                link.key_changed()

    async def _grow_old(self) -> Never:
        """Replace the key in time, and notice when another switch has."""
        not_before = 0.0
        while True:
            await trio.sleep(CHECK_INTERVAL_S)
            before = self.keys.current
            await self.keys.refresh()
            if self.keys.current != before:
                self._tell_links()
            now = trio.current_time()
            old = self.keys.has_key() and self.keys.age_s >= self._network.mac_key_age_s
            if old and now >= max(not_before, self._asked_until):
                not_before = now + RETRY_S
                link = next((link for link in self._links if link.is_up), None)
                if link is not None:
                    self._ask(link)
