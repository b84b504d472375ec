"""What passed between a network and its acquirers, message by message, fit to be shown.

Fields are masked as everywhere (`mask_fields`), and so are the bytes: whatever of a message may not
be shown stands as `**` in its hex. A message that cannot be decoded shows its length and nothing
of its content, since nobody knows where the card number is.

In a process that plays a network for tests, `keep_clear` keeps the clear fields, too; only test
cards move on such networks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal

import attrs
import trio

from switch.iso8583 import DecodeError, Dialect
from switch.iso8583.elements import DE
from switch.iso8583.explain import Row, explain
from switch.iso8583.explain.rows import HIDDEN_BYTE
from switch.iso8583.masking import mask_fields

Direction = Literal["in", "out"]


@attrs.frozen
class Message:
    """One message on a connection.

    Attributes:
        number: in the record, from 1.
        at_us: when, microseconds since 1970.
        connection: number of its connection, from 1.
        direction: "in" from the acquirer, "out" to it.
        fields: masked; empty where it could not be decoded.
        hex: of the packed message without length and header, masked; upper case.
        size: its bytes.
        note: what was remarkable: rules that applied, why it was refused.
        clear: unmasked fields, where the record keeps them.
        rows: element by element with meanings, masked, where the record explains.
    """

    number: int
    at_us: int
    connection: int
    direction: Direction
    fields: Mapping[int, str]
    hex: str
    size: int
    note: str = ""
    clear: Mapping[int, str] = attrs.field(factory=dict, repr=False)
    rows: tuple[Row, ...] = attrs.field(default=(), repr=False)

    @property
    def mti(self) -> str:
        """The message type, or nothing."""
        return self.fields.get(DE.MTI, "")

    def has(self, mti: str = "", direction: Direction | None = None, **elements: str) -> bool:
        """Whether it is of a type and direction and has elements, `de11="000123"`, as shown."""
        return (
            mti in ("", self.mti)
            and direction in (None, self.direction)
            and all(
                self.fields.get(int(name.removeprefix("de")), "").rstrip() == text.rstrip()
                for name, text in elements.items()
            )
        )


class Record:
    """The latest messages of a network.

    Args:
        dialect: to find the bytes that must not be shown.
        count_max: so many are kept.
        keep_clear: whether messages keep their clear fields.
        explained: whether messages come with their rows.

    Attributes:
        messages: oldest first.
        listeners: called with every new message.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        count_max: int,
        keep_clear: bool = False,
        explained: bool = False,
    ) -> None:
        self._dialect = dialect
        self._explained = explained
        self._keep_clear = keep_clear
        self._count = 0
        self._news = trio.Event()
        self.messages: deque[Message] = deque(maxlen=count_max)
        self.listeners: list[Callable[[Message], None]] = []

    @property
    def count(self) -> int:
        """Messages so far: the number of the latest."""
        return self._count

    def add(
        self,
        direction: Direction,
        connection: int,
        packed: bytes,
        fields: Mapping[int, str],
        at_us: int,
        note: str = "",
    ) -> None:
        """Note a message; `fields` empty = it could not be decoded."""
        self._count += 1
        message = Message(
            number=self._count,
            at_us=at_us,
            connection=connection,
            direction=direction,
            fields=mask_fields(fields) if fields else {},
            hex=self.masked_hex(packed, fields),
            size=len(packed),
            note=note,
            clear=dict(fields) if self._keep_clear else {},
            rows=explain(self._dialect, packed).rows if self._explained else (),
        )
        self.messages.append(message)
        for listener in self.listeners:
            listener(message)
        self._news.set()
        self._news = trio.Event()

    def masked_hex(self, packed: bytes, fields: Mapping[int, str]) -> str:
        """The bytes of a message, those of hidden elements as dots; empty if it has no fields."""
        if not fields:
            return ""
        shown = mask_fields(fields)
        pairs = [f"{byte:02X}" for byte in packed]
        end = 0
        try:
            for each in self._dialect.interpreter.walk(packed):
                end = each.offset + each.size
                if shown.get(each.element.number) != each.text:
                    start = each.offset + each.element.prefix.size
                    pairs[start:end] = [HIDDEN_BYTE] * (end - start)
        except DecodeError:  # broken on purpose: hide from there on
            end = max(end, self._dialect.head.mti_bytes)
            pairs[end:] = [HIDDEN_BYTE] * (len(pairs) - end)
        return "".join(pairs)

    def find(
        self,
        mti: str = "",
        direction: Direction | None = None,
        *,
        after: int = 0,
        **elements: str,
    ) -> list[Message]:
        """Messages kept that `Message.has` it, with a greater number than `after`."""
        return [
            message
            for message in self.messages
            if message.number > after and message.has(mti, direction, **elements)
        ]

    async def wait_for(
        self,
        mti: str = "",
        direction: Direction | None = None,
        *,
        count: int = 1,
        after: int = 0,
        **elements: str,
    ) -> list[Message]:
        """Wait until `find` gives so many; the deadline is the caller's scope."""
        while True:
            found = self.find(mti, direction, after=after, **elements)
            if len(found) >= count:
                await trio.lowlevel.checkpoint()
                return found
            await self._news.wait()
