"""Messages of an acquirer, for whoever plays one against a simulated network."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import trio

from chassis.framing import LengthFramer
from switch.iso8583 import Dialect

QUIET_S = 0.05  # in which nothing must come
APPROVED_PAN = "4242424242424242"


def sale(changes: Mapping[int, str | None] | None = None) -> dict[int, str]:
    """The fields of a 0200 sale over 24.99 USD; a change to None leaves an element out."""
    fields: dict[int, str | None] = {
        0: "0200",
        2: APPROVED_PAN,
        3: "000000",
        4: "000000002499",
        7: "1122071002",
        11: "000123",
        12: "071002",
        13: "1122",
        14: "3012",
        18: "5999",
        19: "840",
        22: "810",
        25: "59",
        32: "400001",
        37: "0ABCDEF12345",
        41: "TERM0001",
        42: "MERCHANT0000001",
        43: "DEMO SHOP            SAN FRANCISCO CA US",
        49: "840",
        **(changes or {}),
    }
    return {number: text for number, text in fields.items() if text is not None}


def reversal(original: Mapping[int, str], changes: Mapping[int, str | None]) -> dict[int, str]:
    """The fields of a 0420 for `original`; `changes` should bring its own DE 11."""
    acquirer_id = original[32].rjust(11, "0")
    original_data = f"{original[0]}{original[11]}{original[7]}{acquirer_id}{'0' * 11}"
    kept: dict[int, str | None] = {**original, 0: "0420", 14: None, 48: None, 90: original_data}
    return {number: text for number, text in {**kept, **changes}.items() if text is not None}


def authorization(changes: Mapping[int, str | None] | None = None) -> dict[int, str]:
    """The fields of a 0100 over 24.99 USD."""
    return sale({0: "0100", **(changes or {})})


def capture(original: Mapping[int, str], changes: Mapping[int, str | None]) -> dict[int, str]:
    """The fields of a 0220 for an authorization; `changes` should bring its own DE 11."""
    kept: dict[int, str | None] = {**original, 0: "0220", 14: None, 48: None, 38: "321000"}
    return {number: text for number, text in {**kept, **changes}.items() if text is not None}


def remaining(amount_minor: int) -> str:
    """DE 95 of a reversal of a part: the amount that stays."""
    return f"{amount_minor:012d}".ljust(42, "0")


def inquiry(original: Mapping[int, str], changes: Mapping[int, str | None]) -> dict[int, str]:
    """The fields of a 0600 about `original`; `changes` should bring its own DE 11."""
    asked = reversal(original, {0: "0600", **changes})
    return {de: asked[de] for de in (0, 2, 3, 4, 7, 11, 12, 13, 32, 37, 41, 42, 49, 90)}


def management(function: str, stan: str = "000001") -> dict[int, str]:
    """The fields of an 0800; functions of NET87B: 001 sign-on, 002 sign-off, 301 echo."""
    return {0: "0800", 7: "1122071000", 11: stan, 70: function}


class Acquirer:
    """A small acquirer on an open stream: one question at a time, or many at once."""

    def __init__(self, stream: trio.abc.Stream, dialect: Dialect) -> None:
        self.stream = stream
        self._dialect = dialect
        self._framer = LengthFramer(2, 4_096)
        self._answers: deque[bytes] = deque()

    def pack(self, *messages: Mapping[int, str]) -> bytes:
        """Messages as they travel."""
        return self._framer.wrap_many(self._dialect.encode(fields) for fields in messages)

    async def send(self, *messages: Mapping[int, str]) -> None:
        """Send messages in one write."""
        await self.stream.send_all(self.pack(*messages))

    async def send_frame(self, packed: bytes) -> None:
        """Send a message that is packed already."""
        await self.stream.send_all(self._framer.wrap(packed))

    async def receive_frame(self) -> bytes:
        """The next answer, packed.

        Raises:
            EOFError: the network closed the connection.
            FrameError: it lost its framing.
        """
        while not self._answers:
            if self._framer.broken is not None:
                raise self._framer.broken
            try:
                data = await self.stream.receive_some()
            except trio.BrokenResourceError as error:
                raise EOFError(str(error.__cause__)) from error
            if not data:
                raise EOFError("the network closed the connection")
            self._answers.extend(self._framer.feed(bytes(data)))
        return self._answers.popleft()

    def push(self, data: bytes) -> None:
        """Take bytes that were received by other means."""
        self._answers.extend(self._framer.feed(data))

    @property
    def held_bytes(self) -> int:
        """Bytes of a frame that has begun."""
        return len(self._framer._buffer)

    async def receive(self) -> dict[int, str]:
        """The next answer; raises as `receive_frame` does."""
        return self._dialect.decode(await self.receive_frame())

    async def ask(self, fields: Mapping[int, str]) -> dict[int, str]:
        """Send one message and return the next answer."""
        await self.send(fields)
        return await self.receive()

    async def sign_on(self) -> None:
        """Open the session."""
        answer = await self.ask(management("001"))
        assert answer[39] == "00"


async def hears_nothing(acquirer: Acquirer) -> bool:
    """Whether nothing comes for a moment."""
    with trio.move_on_after(QUIET_S):
        await acquirer.receive_frame()
        return False
    return True
