"""`turnout network` as a process, and an acquirer that shares no code with it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.foreign_acquirer import ForeignAcquirer, sale

SIGN_ON = {"t": "0800", "7": "1122120000", "11": "000001", "70": "001"}


class RunningNetwork:
    """The process, what it has printed, and where it listens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.port = int(self.until(r"network on 127\.0\.0\.1:(\d+): ")[1])

    def until(self, pattern: str) -> re.Match[str]:
        """Read on to the first line that holds the pattern."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if match := re.search(pattern, line):
                return match
        raise AssertionError("\n".join(self.lines))

    def type(self, command: str) -> None:
        """Type a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()


@contextmanager
def _network(certs: Path, *options: str) -> Iterator[RunningNetwork]:
    command = [sys.executable, "-m", "turnout", "network", "--listen", "0", "--certs", str(certs)]
    with subprocess.Popen(
        [*command, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        watchdog = threading.Timer(30, process.kill)  # so that no line is waited for for ever
        watchdog.start()
        try:
            yield RunningNetwork(process)
        finally:
            watchdog.cancel()
            process.kill()


def test_a_stranger_certifies_a_host(tmp_path: Path) -> None:
    """From certificates to Ctrl-C: sign-on, sales, triggers, a command, and a clean end."""
    with _network(tmp_path / "certs", "--record", str(tmp_path / "net.log")) as network:
        acquirer = ForeignAcquirer(network.port, tmp_path / "certs")
        assert acquirer.ask(SIGN_ON)["39"] == "00"
        answer = acquirer.ask(sale("000002", 2500))
        assert (answer["t"], answer["39"], answer["38"]) == ("0210", "00", "200000")
        assert acquirer.ask(sale("000003", 1051))["39"] == "51"
        assert acquirer.ask(sale("000004", 1010))["4"] == "000000000606"
        assert acquirer.ask(sale("000005", 1337))["37"] == "326120000006"
        network.type("echo")
        asked = acquirer.receive()
        assert (asked["t"], asked["70"]) == ("0800", "301")
        acquirer.send({**asked, "t": "0810", "39": "00"})
        network.until("echo: answered 00")
        network.type("accounts")
        network.until(r"424242\*\*\*\*\*\*4242  840  held 0  posted 4443")
        acquirer.close()
        network.until("#1 closed")
        network.process.send_signal(signal.SIGINT)
        network.until("stopped after 12 messages")
        assert network.process.wait(timeout=10) == 0
    text = "\n".join(network.lines)
    assert "#1 in   0200  STAN 000003  RRN 326120000003  10.51 USD  424242******4242" in text
    assert "39=51  [declined, 51: insufficient funds]" in text
    assert "4242424242424242" not in text.replace("164242424242424242", "")  # but in the sample
    assert len((tmp_path / "net.log").read_text().splitlines()) == 4


def test_refusals_name_their_rule(tmp_path: Path) -> None:
    """A peer without TLS, wrong framing, and a message that is none."""
    with _network(tmp_path) as network:
        with socket.create_connection(("127.0.0.1", network.port)) as plain:
            plain.sendall(b"\x00\x14\x08\x00 no TLS at all")
            network.until(r"refused: .*\(rule T1: the client speaks TLS\)")
        acquirer = ForeignAcquirer(network.port, tmp_path)
        acquirer._socket.sendall(b"\x00\x04\x02\x00\x00\x01")
        network.until(r"4 bytes that are no message  \[undecodable: .*\] rule M1")
        acquirer._socket.sendall(b"0141")
        network.until(r"#1 closed: .*ASCII digits \(rule F1: ")
        acquirer.close()
        early = ForeignAcquirer(network.port, tmp_path)
        with pytest.raises(EOFError):
            early.ask(sale("000002", 2500))
        network.until(r"#2 closed: message 0200 while connected \(rule S1: sign on")
        early.close()


def test_messages_are_shown_element_by_element(tmp_path: Path) -> None:
    """With -v, also of a dialect with a header of its own, and its samples."""
    with _network(tmp_path, "-v", "--dialect", "vip", "--no-triggers", "--seed", "9") as network:
        network.until(r"framing +vmlh \+ vip")
        network.until(r"script +0 rules, seed 9")
        network.until(r" 2  pan +424242\*{6}4242")
        network.until(r" 4  amount_transaction +000000001000 +10\.00 USD")


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (("--dialect", "nope"), 3, "the bundled ones are"),
        (("--script", "/nonexistent.toml"), 3, "/nonexistent.toml: No such file"),
        (("--certs", "/proc/nowhere"), 3, "no certificates in /proc/nowhere"),
        (("--listen", "everywhere"), 2, "is no [HOST:]PORT"),
        (("--mac", "des"), 2, "'des' is not one of"),
    ],
)
def test_what_cannot_start_says_why(
    tmp_path: Path, options: tuple[str, ...], status: int, words: str
) -> None:
    """Exit status 3, or 2 for wrong usage; one line."""
    command = [sys.executable, "-m", "turnout", "network", "--listen", "0"]
    done = subprocess.run(
        [*command, "--certs", str(tmp_path), *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """With the option that mends it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "turnout", "network", "--listen", address, "--certs", tmp_path],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 3
    assert f"cannot listen on {address}: " in done.stderr
    assert "--listen" in done.stderr
