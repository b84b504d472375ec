"""An acquirer that shares no code with the product: pyiso8583, the standard library, and a table.

It is written as the engineers of another host would write theirs, from `docs/acquirers.md` alone:
NET87B over mutual TLS, two bytes of length, one question at a time.
"""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import iso8583


def _packed(length: int, pad: str = "") -> dict[str, Any]:
    field = {"data_enc": "b", "len_enc": "bcd", "len_type": 0, "max_len": length, "desc": ""}
    return {**field, "len_count": "nibbles", **({pad: "0"} if pad else {})}


def _text(length: int, prefix: int = 0) -> dict[str, Any]:
    return {
        "data_enc": "ascii",
        "len_enc": "bcd",
        "len_type": prefix,
        "max_len": length,
        "desc": "",
    }


SPEC: dict[str, dict[str, Any]] = {
    "h": {"data_enc": "b", "len_enc": "b", "len_type": 0, "max_len": 0, "desc": "none"},
    "t": {"data_enc": "b", "len_enc": "b", "len_type": 0, "max_len": 2, "desc": "type"},
    "p": {"data_enc": "b", "len_enc": "b", "len_type": 0, "max_len": 8, "desc": "bitmap"},
    "1": {"data_enc": "b", "len_enc": "b", "len_type": 0, "max_len": 8, "desc": "bitmap"},
    "2": {**_packed(19, "right_pad"), "len_type": 1},
    "3": _packed(6),
    "4": _packed(12),
    "7": _packed(10),
    "11": _packed(6),
    "12": _packed(6),
    "13": _packed(4),
    "14": _packed(4),
    "15": _packed(4),
    "18": _packed(4),
    "19": _packed(3, "left_pad"),
    "22": _packed(3, "left_pad"),
    "25": _packed(2),
    "32": {**_packed(11, "right_pad"), "len_type": 1},
    "37": _text(12),
    "38": _text(6),
    "39": _text(2),
    "41": _text(8),
    "42": _text(15),
    "43": _text(40),
    "48": _text(999, 2),
    "49": _text(3),
    "54": _text(120, 2),
    "62": _text(999, 2),
    "70": _packed(3, "left_pad"),
    "90": _packed(42),
    "95": _text(42),
}


class ForeignAcquirer:
    """A blocking client, one question at a time.

    Args:
        port: of the network, on this machine.
        certs: the folder that `turnout network certs` made.
    """

    def __init__(self, port: int, certs: Path) -> None:
        context = ssl.create_default_context(cafile=certs / "ca.pem")
        context.load_cert_chain(certs / "acquirer.pem", certs / "acquirer.key")
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket = context.wrap_socket(plain, server_hostname="network.turnout.test")

    def ask(self, fields: dict[str, str]) -> dict[str, str]:
        """Send one message and return the next one."""
        self.send(fields)
        return self.receive()

    def send(self, fields: dict[str, str]) -> None:
        """Send one message; key `t` is the type."""
        packed, _ = iso8583.encode(dict(fields), SPEC)
        self._socket.sendall(struct.pack(">H", len(packed)) + packed)

    def receive(self) -> dict[str, str]:
        """The next message."""
        [size] = struct.unpack(">H", self._read(2))
        decoded, _ = iso8583.decode(self._read(size), SPEC)
        return {number: text for number, text in decoded.items() if number not in ("h", "p", "1")}

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise EOFError("the network closed the connection")
            data += part
        return data


def sale(stan: str, amount_minor: int, **changes: str) -> dict[str, str]:
    """An 0200 over some cents."""
    fields = {
        "t": "0200",
        "2": "4242424242424242",
        "3": "000000",
        "4": f"{amount_minor:012d}",
        "7": "1122120000",
        "11": stan,
        "12": "120000",
        "13": "1122",
        "14": "3012",
        "18": "5999",
        "19": "840",
        "22": "810",
        "25": "59",
        "32": "400001",
        "37": f"326120{stan}",
        "41": "TERM0001",
        "42": "MERCHANT0000001",
        "43": "A SHOP               SPRINGFIELD    US".ljust(40),
        "49": "840",
    }
    return fields | {name.removeprefix("de"): text for name, text in changes.items()}
