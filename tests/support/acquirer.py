"""A small acquirer that shares nothing with the product: pyiso8583, ssl, a socket, one thread.

It signs on, answers 0800s, sends sales, authorizations and captures when it is told to, checks what
answers repeat, and undoes what it is in doubt of. Faults can be planted, each a mistake that real
acquirers make; a certification has to find it.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import iso8583

Fault = Literal[
    "never_reverses", "repeat_with_new_stan", "echo_unchecked", "deaf_to_echoes", "folds_classes"
]
DEADLINE_S: Final = 0.6
REPEAT_S: Final = 0.5
ECHOED: Final = ("3", "4", "7", "11", "32", "37", "41", "42", "49")
ACQUIRER: Final = "700001"


def _spec() -> dict[str, dict[str, Any]]:
    """ISO 8583:1987 in binary packing, the elements that these messages have."""

    def fixed(data: str, size: int) -> dict[str, Any]:
        entry: dict[str, Any] = {"data_enc": data, "len_enc": "bcd", "len_type": 0, "max_len": size}
        if data == "b":
            entry |= {"len_count": "nibbles", "left_pad": "0"}
        return entry | {"desc": ""}

    def variable(data: str, size: int, prefix: int) -> dict[str, Any]:
        entry = fixed(data, size) | {"len_type": prefix}
        if data == "b":
            entry.pop("left_pad")
            entry["right_pad"] = "0"
        return entry

    raw = {"data_enc": "b", "len_enc": "b", "len_type": 0, "desc": ""}
    spec: dict[str, dict[str, Any]] = {
        "h": raw | {"max_len": 0},
        "t": raw | {"max_len": 2},
        "p": raw | {"max_len": 8},
        "1": raw | {"max_len": 8},
    }
    spec |= {str(number): fixed("ascii", 1) for number in range(2, 193)}
    for number, size in {
        3: 6,
        4: 12,
        7: 10,
        11: 6,
        12: 6,
        13: 4,
        14: 4,
        15: 4,
        18: 4,
        19: 3,
        22: 3,
        25: 2,
        70: 3,
        90: 42,
    }.items():
        spec[str(number)] = fixed("b", size)
    for number, size in {37: 12, 38: 6, 39: 2, 41: 8, 42: 15, 43: 40, 49: 3, 95: 42}.items():
        spec[str(number)] = fixed("ascii", size)
    spec["2"], spec["32"] = variable("b", 19, 1), variable("b", 11, 1)
    spec["48"], spec["54"] = variable("ascii", 999, 2), variable("ascii", 120, 2)
    return spec


SPEC: Final = _spec()


class SmallAcquirer(threading.Thread):
    """One acquirer with one connection.

    Args:
        port: of the network, on 127.0.0.1.
        pki: folder of ca.pem, acquirer.pem, acquirer.key.
        server_name: of the network's certificate.
        fault: what it does wrong.
    """

    def __init__(self, port: int, pki: Path, server_name: str, fault: Fault | None = None) -> None:
        super().__init__(name="acquirer", daemon=True)
        self.fault = fault
        self._port, self._pki, self._server_name = port, pki, server_name
        self._orders: queue.Queue[Callable[[], None]] = queue.Queue()
        self._stopping = threading.Event()
        self._stan = 0
        self._sale = 0
        self._waiting: dict[str, tuple[dict[str, str], float]] = {}  # requests by STAN
        self._advices: dict[str, tuple[dict[str, str], float]] = {}  # to be repeated, by RRN
        self._captures_next: set[str] = set()  # RRNs of authorizations to be captured
        self._socket: ssl.SSLSocket | None = None

    # ---------------------------------------------------------------------------------- orders

    def sale(self, amount: int) -> None:
        """Send one sale."""
        self._orders.put(lambda: self._request("0200", amount))

    def capture(self, amount: int) -> None:
        """Authorize, and capture once that is approved."""
        self._orders.put(lambda: self._captures_next.add(self._request("0100", amount)))

    def stop(self) -> None:
        """End it."""
        self._stopping.set()
        self.join()

    # -------------------------------------------------------------------------------- the thread

    def run(self) -> None:
        """Keep a connection until stopped."""
        while not self._stopping.is_set():
            try:
                self._connection()
            except OSError:
                time.sleep(0.05)
            for stan in list(self._waiting):  # sent, and nobody will answer now
                self._waiting[stan] = (self._waiting[stan][0], 0.0)

    def _connection(self) -> None:
        context = ssl.create_default_context(cafile=self._pki / "ca.pem")
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["turnout-iso8583"])
        context.load_cert_chain(self._pki / "acquirer.pem", self._pki / "acquirer.key")
        with (
            socket.create_connection(("127.0.0.1", self._port)) as plain,
            context.wrap_socket(plain, server_hostname=self._server_name) as tls,
        ):
            self._socket = tls
            tls.settimeout(0.02)
            self._send({"t": "0800", "7": _now(), "11": self._next_stan(), "70": "001"})
            buffer = b""
            while not self._stopping.is_set():
                try:
                    data = tls.recv(65_536)
                    if not data:
                        return
                    buffer += data
                except TimeoutError:
                    pass
                while len(buffer) >= 2 and len(buffer) >= (end := 2 + int.from_bytes(buffer[:2])):
                    self._take(buffer[2:end])
                    buffer = buffer[end:]
                self._tick()

    def _tick(self) -> None:
        now = time.monotonic()
        while not self._orders.empty():
            self._orders.get()()
        for stan, (request, since) in list(self._waiting.items()):
            if now - since > DEADLINE_S:
                del self._waiting[stan]
                if self.fault != "never_reverses":
                    self._reverse(request)
        for rrn, (advice, since) in list(self._advices.items()):
            if now - since > REPEAT_S:
                advice["t"] = advice["t"][:3] + "1"
                if self.fault == "repeat_with_new_stan":
                    advice["11"] = self._next_stan()
                self._send(advice)
                self._advices[rrn] = (advice, now)

    # ---------------------------------------------------------------------------------- messages

    def _send(self, fields: dict[str, str]) -> None:
        assert self._socket is not None
        packed, _ = iso8583.encode(dict(fields), SPEC)
        self._socket.sendall(len(packed).to_bytes(2) + packed)

    def _next_stan(self) -> str:
        self._stan += 1
        return f"{self._stan:06d}"

    def _request(self, mti: str, amount: int) -> str:
        self._sale += 1
        de7, stan, rrn = _now(), self._next_stan(), f"{self._sale:012d}"
        fields = {
            "t": mti,
            "2": "4242424242424242",
            "3": "000000",
            "4": f"{amount:012d}",
            "7": de7,
            "11": stan,
            "12": de7[4:],
            "13": de7[:4],
            "14": "3012",
            "18": "5999",
            "19": "840",
            "22": "810",
            "25": "59",
            "32": ACQUIRER,
            "37": rrn,
            "41": "TERM0001",
            "42": "SMALLACQUIRER01",
            "43": f"{'SMALL SHOP SPRINGFIELD US':40}",
            "49": "840",
        }
        self._waiting[stan] = (fields, time.monotonic())
        self._send(fields)
        return rrn

    def _reverse(self, request: dict[str, str]) -> None:
        original = f"{request['t']}{request['11']}{request['7']}{ACQUIRER.rjust(11, '0')}{'0' * 11}"
        self._advise("0420", request, {"90": original})

    def _advise(self, mti: str, request: dict[str, str], extra: dict[str, str]) -> None:
        advice = {key: text for key, text in request.items() if key.isdigit() and key != "14"}
        advice |= {"t": mti, "7": _now(), "11": self._next_stan(), **extra}
        self._advices[advice["37"]] = (advice, time.monotonic())
        self._send(advice)

    def _take(self, frame: bytes) -> None:
        try:
            fields, _ = iso8583.decode(frame, SPEC)
        except (iso8583.DecodeError, KeyError):
            return
        mti = fields["t"]
        if mti == "0800":
            self._answer_management(fields)
        elif mti in ("0430", "0230"):
            advice = self._advices.get(fields.get("37", ""))
            if advice is not None and advice[0]["11"] == fields.get("11"):
                del self._advices[fields["37"]]
        elif mti[2] == "1":
            self._answered(fields)

    def _answer_management(self, fields: dict[str, str]) -> None:
        if fields.get("70") == "301" and self.fault == "deaf_to_echoes":
            return
        code = "00" if fields.get("70") in ("001", "002", "301") else "40"
        kept = {key: fields[key] for key in ("7", "11", "70")}
        self._send({"t": "0810", "39": code, **kept})

    def _answered(self, fields: dict[str, str]) -> None:
        """Take an answer if it is one, of the same class, complete and about the same thing."""
        stan = fields.get("11", "")
        if stan not in self._waiting:
            return
        request, _ = self._waiting[stan]
        if fields["t"][1] != request["t"][1] and self.fault != "folds_classes":
            return
        skewed = [key for key in ECHOED if fields.get(key) != request[key]]
        if (skewed and self.fault != "echo_unchecked") or "39" not in fields:
            return  # in doubt: the deadline will see to it
        del self._waiting[stan]
        if fields["39"] == "00" and request["37"] in self._captures_next:
            self._captures_next.discard(request["37"])
            self._advise("0220", request, {"38": fields["38"]})


def _now() -> str:
    return datetime.now(UTC).strftime("%m%d%H%M%S")
