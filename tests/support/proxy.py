"""A Unix-socket proxy in front of Postgres that can swallow, hold back or cut what passes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import trio
from psycopg.conninfo import conninfo_to_dict, make_conninfo

SOCKET_NAME = ".s.PGSQL.5432"
NOISE = b"?\xff\xff\xff\xff noise"  # no message type, and a length that cannot be


class WireProxy:
    """Passes bytes on between clients and the server until told otherwise.

    Attributes:
        deaf_to_client: Swallow what clients send.
        deaf_to_server: Swallow what the server answers; the server never notices.
        garbling: Pass noise to clients instead of what the server answers.
        refusing: Close whoever connects, as a server does that is not ready.
        dsn: The address of the proxy, for the role of the DSN it was made with.
    """

    def __init__(self, dsn: str, folder: Path) -> None:
        self._path = folder / SOCKET_NAME
        self._server = f"{conninfo_to_dict(dsn)['host']}/{SOCKET_NAME}"
        self._streams: set[trio.SocketStream] = set()
        self.dsn = make_conninfo(dsn, host=str(folder))
        self.deaf_to_client = False
        self.deaf_to_server = False
        self.garbling = False
        self.refusing = False

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept clients until canceled."""
        listening = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        await listening.bind(str(self._path))
        listening.listen()
        await trio.serve_listeners(
            self._pass_on, [trio.SocketListener(listening)], task_status=task_status
        )

    async def cut(self) -> None:
        """Close every connection, both ways, at once."""
        for stream in self._streams:
            stream.socket.close()
        await trio.lowlevel.checkpoint()

    async def _pass_on(self, client: trio.SocketStream) -> None:
        if self.refusing:
            client.socket.close()
            return
        server = await trio.open_unix_socket(self._server)
        assert isinstance(server, trio.SocketStream)
        self._streams |= {client, server}
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump_requests, client, server)
                await self._pump_answers(server, client)
                nursery.cancel_scope.cancel()
        finally:
            self._streams -= {client, server}
            client.socket.close()
            server.socket.close()

    async def _pump_requests(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for chunk in client:
                if not self.deaf_to_client:
                    await server.send_all(chunk)

    async def _pump_answers(self, server: trio.SocketStream, client: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for chunk in server:
                if not self.deaf_to_server:
                    await client.send_all(NOISE if self.garbling else chunk)
