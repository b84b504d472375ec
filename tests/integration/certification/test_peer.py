"""`turnout certify --peer` against a small acquirer of its own kind, correct and with faults."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from certification.profile import SERVER_NAME
from tests.support.acquirer import Fault, SmallAcquirer

ROOT = Path(__file__).parents[3]
WAIT_S = 2.5
_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")
_SALE = re.compile(r"do \w+: send one sale of (\d+)\.(\d\d)")


def certify_peer(folder: Path, only: str, fault: Fault | None) -> tuple[int, dict[str, Any], str]:
    """Run it as a user does, with an operator who reads what is asked for."""
    command = [sys.executable, "-m", "turnout", "certify", "--peer", "--listen", "0"]
    command += ["--certs", str(folder), "--wait", str(WAIT_S), "--json"]
    command += ["--only", only] if only else []
    path = os.pathsep.join((str(ROOT), str(ROOT / "clients" / "python")))
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    ) as process:
        output: list[str] = []
        reader = threading.Thread(target=lambda: output.append(process.stdout.read()))  # type: ignore[union-attr]
        reader.start()
        acquirer: SmallAcquirer | None = None
        said: list[str] = []
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if (listening := _LISTENING.search(line)) is not None:
                port = int(listening[1])
            elif line.startswith("waiting for the acquirer"):
                acquirer = SmallAcquirer(port, folder, SERVER_NAME, fault)
                acquirer.start()
            elif (asked := _SALE.match(line)) is not None:
                assert acquirer is not None
                acquirer.sale(int(asked[1] + asked[2]))
            elif "then capture" in line:
                assert acquirer is not None
                acquirer.capture(1000)
        reader.join()
        if acquirer is not None:
            acquirer.stop()
        status = process.wait()
    return status, json.loads(output[0]), "".join(said)


@pytest.mark.slow
def test_a_correct_acquirer_passes(tmp_path: Path) -> None:
    """Everything that can be judged from the wire is passed; the rest is not applicable."""
    status, document, said = certify_peer(tmp_path, "", None)
    failed = [case for case in document["cases"] if case["result"] == "failed"]
    assert failed == [], said
    assert status == 0
    assert document["passed"] >= 20
    assert document["passed"] + document["not_applicable"] == len(document["cases"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "caught_by"),
    [
        ("never_reverses", "RV01"),
        ("repeat_with_new_stan", "RV02"),
        ("echo_unchecked", "MT03"),
        ("deaf_to_echoes", "NM06"),
        ("folds_classes", "MT06"),
    ],
)
def test_a_fault_is_caught(tmp_path: Path, fault: Fault, caught_by: str) -> None:
    """Each planted fault fails the case that is about it."""
    status, document, _ = certify_peer(tmp_path, caught_by, fault)
    assert [(case["id"], case["result"]) for case in document["cases"]] == [(caught_by, "failed")]
    assert status == 1
