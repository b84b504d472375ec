"""The far end of `turnout bench link`: a network that approves everything, in a process of its own.

It speaks mutual TLS, cuts frames, decodes every message with the compiled codec, answers with the
elements that a network echoes, and sends the answers of one receive in one call. Run by the
benchmark as `python -m benchmarks.link_peer DESCRIPTOR PKI NAME`.
"""

from __future__ import annotations

import gc
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Final

import trio

from chassis.settings.tree import Network
from chassis.tls import accept_tls, server_context
from switch.iso8583 import load_dialect
from switch.iso8583.framing import framer_for
from switch.iso8583.mti import response_mti

_ECHOED: Final = (2, 3, 4, 7, 11, 12, 13, 32, 37, 41, 42, 49)


def answer(fields: dict[int, str]) -> dict[int, str]:
    """The approval of a sale, or the 0810 of an 0800."""
    if fields[0] == "0800":
        return {0: "0810", 7: fields[7], 11: fields[11], 39: "00", 70: fields[70]}
    response = {de: fields[de] for de in _ECHOED}
    response[0] = response_mti(fields[0])
    response[38] = "A00001"
    response[39] = "00"
    return response


async def serve(listener: socket.socket, pki: Path, client_name: str) -> None:
    """Serve until killed."""
    dialect = load_dialect("net87b")
    context = server_context(ca=pki / "ca.pem", certificate=pki / "vsim.pem", key=pki / "vsim.key")

    async def converse(transport: trio.SocketStream) -> None:
        stream = await accept_tls(transport, context, client_names={client_name})
        framer = framer_for(dialect.framing, Network().frame_bytes_max, network_side=True)
        decode, encode = dialect.decode, dialect.encode
        while data := await stream.receive_some():
            frames = framer.feed(bytes(data))
            await stream.send_all(
                framer.wrap_many([encode(answer(decode(frame))) for frame in frames])
            )

    gc.freeze()
    accepting = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    await trio.serve_listeners(converse, [accepting])


def main(arguments: list[str]) -> None:
    """Take the listening socket by its descriptor and serve."""
    descriptor, pki, client_name = arguments
    listener = socket.socket(fileno=int(descriptor))
    listener.setblocking(False)
    trio.run(partial(serve, listener, Path(pki), client_name))


if __name__ == "__main__":
    main(sys.argv[1:])
