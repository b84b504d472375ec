"""The switch's processes: switches, an HSM and two networks, each as the supervisor starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from benchmarks.child import ChildError, service_process
from chassis.pki import development_pki
from chassis.settings import Log, Network, Settings, Switch
from tests.support.postgres import LedgerDSN

ME = os.getuid()

_NETWORKS: tuple[tuple[str, str, tuple[str, ...], Literal["single", "dual"]], ...] = (
    ("vsim", "400001", ("4",), "single"),
    ("msim", "500001", ("5", "2"), "dual"),
)


class SwitchStack:
    """Processes by name; `start` and `stop` one, or all with `async with open_switch_stack`.

    Switches beyond the first are called `switch-1`, `switch-2` … `network` holds changes to the
    settings of both networks, `changes` to the sections of all settings.
    """

    def __init__(
        self,
        folder: Path,
        dsn: LedgerDSN,
        *,
        switches: int = 1,
        network: Mapping[str, Any] = MappingProxyType({}),
        **changes: Any,
    ) -> None:
        self.folder = folder
        self.dsn = dsn
        self.switches = ["switch", *(f"switch-{index}" for index in range(1, switches))]
        self.listeners: dict[str, socket.socket] = {}
        self.processes: dict[str, tuple[ExitStack, subprocess.Popen[bytes]]] = {}
        for name in ("vsim", "msim"):
            self.listeners[name] = socket.create_server(("127.0.0.1", 0))
        for name in ("hsm", *self.switches):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(folder / f"{name}.sock"))
            listener.listen()
            self.listeners[name] = listener
        networks = {
            name: Network(
                port=self.listeners[name].getsockname()[1],
                server_name=f"{name}.turnout.test",
                acquirer_id=acquirer_id,
                **{
                    "bins": bins,
                    "messages": messages,
                    "response_deadline_s": 0.6,
                    "reconnect_max_s": 0.5,
                }
                | network,
            )
            for name, acquirer_id, bins, messages in _NETWORKS
        }
        self.settings = msgspec.structs.replace(
            Settings(log=Log(level="warning"), networks=networks, switch=Switch()), **changes
        )
        development_pki(
            folder / "pki",
            {
                "vsim": ("vsim.turnout.test", "server"),
                "msim": ("msim.turnout.test", "server"),
                "switch": ("acquirer.turnout.test", "client"),
            },
        )

    def start(self, name: str) -> None:
        """Start one process and wait until it is ready."""
        role = "network" if name in self.settings.networks else "mux"
        service, _, index = name.partition("-")
        stack = ExitStack()
        process = stack.enter_context(
            service_process(
                service,
                index=int(index or 0),
                settings=self.settings,
                data_dir=self.folder,
                listeners={role: self.listeners[name]},
                allowed_uids=dict.fromkeys(("switch", "api", "admin"), ME),
                endpoints={
                    "hsm": [str(self.folder / "hsm.sock")],
                    **{
                        network: [f"127.0.0.1:{settings.port}"]
                        for network, settings in self.settings.networks.items()
                    },
                },
                secrets={"database_dsn": self.dsn("turnout_switch")} if service == "switch" else {},
            )
        )
        self.processes[name] = (stack, process)

    def stop(self, name: str) -> None:
        """Drain one process; its exit status must be 0."""
        stack, _ = self.processes.pop(name)
        stack.close()

    def kill(self, name: str) -> None:
        """End one process with SIGKILL, as a crash would."""
        self.processes[name][1].kill()
        assert self.ended(name) == -signal.SIGKILL

    def ended(self, name: str) -> int:
        """The exit status of a process that ends without being asked to; waits for it."""
        stack, process = self.processes.pop(name)
        status = process.wait(30)
        with contextlib.suppress(ChildError):  # not 0
            stack.close()
        return status

    def signal(self, name: str, number: signal.Signals) -> None:
        """Stop (SIGSTOP) or continue (SIGCONT) one process."""
        self.processes[name][1].send_signal(number)

    def close(self) -> None:
        """Stop whatever runs, the switches first."""
        for name in (*self.switches, "vsim", "msim", "hsm"):
            if name in self.processes:
                self.stop(name)
        for listener in self.listeners.values():
            listener.close()
