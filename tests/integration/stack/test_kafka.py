"""`turnout kafka` where no broker answers."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

TURNOUT: Final = (sys.executable, "-P", "-m", "turnout")
HEARD_S: Final = 5.0  # settings give a broker thirty


def test_ctrl_c_does_not_wait_for_a_broker(tmp_path: Path) -> None:
    """One that takes the connection and then says nothing keeps nobody at the terminal."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = f"kafka.bootstrap_servers=127.0.0.1:{silent.getsockname()[1]}"
        words = ["kafka", "status", "--set", broker, "--data-dir", str(tmp_path)]
        with subprocess.Popen([*TURNOUT, *words], stderr=subprocess.PIPE, text=True) as asking:
            silent.settimeout(30)
            connection, _ = silent.accept()
            with connection:
                asking.send_signal(signal.SIGINT)
                began = time.monotonic()
                _, said = asking.communicate(timeout=60)
    assert asking.returncode == 130
    assert "turnout: interrupted" in said
    assert time.monotonic() - began < HEARD_S
