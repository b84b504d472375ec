"""One try: a POST to an endpoint, on a connection that is kept for the next one.

Only the status of an answer counts: 2xx is delivered, a redirect is a failure like any other. A
connection is kept for a short while after an answer, so that an endpoint with many events shakes
hands once a minute; after that its name is resolved and checked again. A kept connection that turns
out to be closed is replaced once, which may send an event twice: receivers know it by its id.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import trio
from attrs import define
from msgspec import Struct

from api.webhooks.dialing import Dialer, DialError
from api.webhooks.replies import ReplyError, ReplyReader
from api.webhooks.targets import TargetURL
from chassis.settings.webhooks import Webhooks

USER_AGENT = "Turnout-Webhooks/1"
_RECEIVE_BYTES = 16_384
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, ReplyError)


class Posted(Struct, frozen=True):
    """What came of a try.

    Attributes:
        status_code: of the answer, or None.
        reason: why there was none, or why it does not count; empty where it was delivered.
    """

    status_code: int | None
    reason: str


@define
class _Kept:
    stream: trio.abc.Stream
    opened_at: float
    idle_since: float = 0.0


class Poster:
    """Sends requests.

    Args:
        dialer: makes connections.
        limits: times and bounds.
    """

    def __init__(self, dialer: Dialer, limits: Webhooks) -> None:
        self._dialer = dialer
        self._limits = limits
        self._idle: OrderedDict[int, tuple[TargetURL, _Kept]] = OrderedDict()
        self._by_target: dict[tuple[bool, str, int, bool], list[int]] = {}
        self._next = 0

    async def post(self, url: TargetURL, headers: Sequence[tuple[str, str]], body: bytes) -> Posted:
        """Send, and read the answer's status."""
        request = request_bytes(url, headers, body)
        kept = self._take(url)
        if kept is not None:
            try:
                return await self._exchange(url, kept, request)
            except _BROKEN:
                await trio.aclose_forcefully(kept.stream)
        return await self._post_anew(url, request)

    async def _post_anew(self, url: TargetURL, request: bytes) -> Posted:
        try:
            with trio.fail_after(self._limits.dial_timeout_s):
                stream = await self._dialer.dial(url)
        except DialError as error:
            return Posted(None, error.reason)
        except trio.TooSlowError:
            return Posted(None, "not_connected_in_time")
        kept = _Kept(stream, trio.current_time())
        try:
            return await self._exchange(url, kept, request)
        except ReplyError:
            await trio.aclose_forcefully(stream)
            return Posted(None, "not_http")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.aclose_forcefully(stream)
            return Posted(None, "connection_lost")

    async def _exchange(self, url: TargetURL, kept: _Kept, request: bytes) -> Posted:
        reader = ReplyReader(self._limits.answer_bytes_max)
        try:
            with trio.move_on_after(self._limits.answer_timeout_s) as scope:
                await kept.stream.send_all(request)
                while not (reader.is_whole or reader.is_cut):
                    data = await kept.stream.receive_some(_RECEIVE_BYTES)
                    if data:
                        reader.feed(data)
                    else:
                        reader.end()
        except trio.Cancelled:
            await trio.aclose_forcefully(kept.stream)
            raise
        if scope.cancelled_caught:
            await trio.aclose_forcefully(kept.stream)
            return Posted(reader.status or None, "no_answer_in_time")
        if reader.can_be_followed:
            await self._keep(url, kept)
        else:
            await trio.aclose_forcefully(kept.stream)
        return Posted(reader.status, judge(reader.status))

    # -------------------------------------------------------------------------- kept connections

    def _take(self, url: TargetURL) -> _Kept | None:
        """A connection to the same place that is young enough, the newest first."""
        numbers = self._by_target.get(_place(url))
        now, limits = trio.current_time(), self._limits
        while numbers:
            number = numbers.pop()
            found = self._idle.get(number)
            if found is None:
                continue  # it was closed since
            kept = found[1]
            if now - kept.opened_at > limits.connection_age_s:
                continue  # `close_old` has it
            del self._idle[number]
            return kept
        return None

    async def _keep(self, url: TargetURL, kept: _Kept) -> None:
        now = kept.idle_since = trio.current_time()
        if now - kept.opened_at > self._limits.connection_age_s:
            await trio.aclose_forcefully(kept.stream)
            return
        self._next += 1
        self._idle[self._next] = (url, kept)
        self._by_target.setdefault(_place(url), []).append(self._next)
        if len(self._idle) > self._limits.connections_idle_max:
            _, (_, oldest) = self._idle.popitem(last=False)
            await trio.aclose_forcefully(oldest.stream)

    async def close_old(self) -> None:
        """Close what has been idle for long, or open for long."""
        now, limits = trio.current_time(), self._limits
        for number, (_, kept) in list(self._idle.items()):
            idle_s, age_s = now - kept.idle_since, now - kept.opened_at
            if idle_s > limits.connection_idle_s or age_s > limits.connection_age_s:
                self._idle.pop(number, None)
                await trio.aclose_forcefully(kept.stream)
        for place, numbers in list(self._by_target.items()):
            numbers[:] = [number for number in numbers if number in self._idle]
            if not numbers:
                del self._by_target[place]

    async def aclose(self) -> None:
        """Close every connection that is kept, also where the caller was canceled."""
        with trio.CancelScope(shield=True):  # closing by force waits for nothing
            while self._idle:
                _, (_, kept) = self._idle.popitem()
                await trio.aclose_forcefully(kept.stream)
        self._by_target.clear()


def judge(status: int) -> str:
    """Why a status is no delivery; empty where it is one."""
    if 200 <= status < 300:
        return ""
    if status == 410:
        return "gone"
    return "redirected" if 300 <= status < 400 else "refused"


def request_bytes(url: TargetURL, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    """A POST as it goes to the socket."""
    lines = [
        f"POST {url.target} HTTP/1.1",
        f"Host: {url.authority}",
        f"User-Agent: {USER_AGENT}",
        "Accept: */*",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _place(url: TargetURL) -> tuple[bool, str, int, bool]:
    return url.is_tls, url.host, url.port, url.is_local
