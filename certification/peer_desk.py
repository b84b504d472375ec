"""What a case works with that judges somebody else's acquirer: the network, and its operator.

A line that asks for something looks like `do RV01: send one sale of 10.00`; all else is progress.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import trio

from certification.evidence import CaseFailedError, Evidence
from certification.network import Exchange, PlayedNetwork
from certification.progress import say
from certification.trace import Line
from certification.vocabulary import REQUESTS


@attrs.define(kw_only=True)
class PeerDesk(Evidence):
    """One case against an acquirer that we see only the messages of.

    Attributes:
        case_id: which.
        network: whom the acquirer talks to.
        wait_s: for what it was asked for, and for what it must do by itself.
        began: length of the trace when the case began.
    """

    case_id: str
    network: PlayedNetwork
    wait_s: float
    began: int = 0

    def ask(self, text: str) -> None:
        """Print what the acquirer must be made to do."""
        say(f"do {self.case_id}: {text}")
        self.evidence.append(f"asked: {text}")

    def heard(self, mtis: str) -> list[Line]:
        """What came since the case began."""
        return self.network.heard(mtis, after=self.began)

    async def hear(
        self,
        mtis: str,
        count: int = 1,
        *,
        fits: Callable[[Mapping[int, str]], bool] = lambda _fields: True,
    ) -> list[Line]:
        """Wait for messages; fail where they do not come."""
        with trio.move_on_after(self.wait_s):
            while True:
                found = [line for line in self.heard(mtis) if fits(line.fields)]
                if len(found) >= count:
                    return found
                await trio.sleep(0.01)  # the trace has no event of its own
        raise CaseFailedError(
            f"{len(self.heard(mtis))} of {count} messages {mtis} came within {self.wait_s:g} s"
        )

    async def request(self, amount_minor: int = 1000) -> Line:
        """Ask for one sale and wait for its request."""
        self.ask(f"send one sale of {amount_minor / 100:.2f}")
        (line, *_) = await self.hear(REQUESTS)
        self.equal("DE 4", line.fields.get(4), f"{amount_minor:012d}")
        return line

    async def quiet(self, mtis: str, *, seconds: float | None = None) -> None:
        """Fail if one of these comes within a time."""
        await trio.sleep(self.wait_s if seconds is None else seconds)
        self.equal(f"messages {mtis}", len(self.heard(mtis)), 0)

    def on(self, mtis: str, handler: Callable[[Exchange], Any], times: int | None = 1) -> None:
        """Have messages answered otherwise."""
        self.network.on(mtis, handler, times=times)
