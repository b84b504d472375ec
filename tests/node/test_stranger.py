"""A client that was written from the documents alone, in another language, pays.

`clients/node/example/pay.mjs` knows nothing of this code: it signs, seals and polls as
docs/http-api.md says. If it breaks, either the guide has stopped being true or merchants' clients
have stopped working. Needs Node 18 or later: `make test-node`.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

import pytest
import trio

from stack.credentials import DEMO_FILE
from stack.temporary import temporary_stack

ROOT: Final = Path(__file__).parents[2]
CLIENT: Final = ROOT / "clients" / "node" / "example" / "pay.mjs"
VECTORS: Final = ROOT / "docs" / "vectors"
TIMEOUT_S: Final = 60.0
WAIT_S: Final = 20  # for the deadline, the inquiries and a reversal
SOON: Final = {
    "networks.vsim.inquiry_times_s": "0.5,1",
    "networks.vsim.inquiry_window_s": "2",
}
PAYMENTS: Final = {
    "4242424242424242": "succeeded -",
    "4000000000000002": "failed generic_decline",
    "4000000000008807": "succeeded -",  # after a 202
    "4000000000006801": "succeeded -",  # once the network has been asked
    "4000000000007809": "failed not_confirmed",  # once it is reversed
}

pytestmark = pytest.mark.node


async def _run(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = ["node", str(CLIENT), *map(str, arguments)]
    with trio.fail_after(TIMEOUT_S):
        return await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False
        )


async def test_it_pays_as_the_test_cards_say() -> None:
    """Approved, declined, approved late or not answered, each with its own status."""
    async with temporary_stack(SOON) as stack:
        done = await _run(stack.data_dir / DEMO_FILE, "--wait", str(WAIT_S), *PAYMENTS)
    assert done.stderr.decode() == ""
    said = [f"{number} {outcome}" for number, outcome in PAYMENTS.items()]
    assert (done.stdout.decode().splitlines(), done.returncode) == (said, 0)


async def test_it_passes_the_published_vectors() -> None:
    """Every signature, and every sealed card of the suite that it speaks, byte for byte."""
    done = await _run("--check-vectors", VECTORS)
    assert done.stderr.decode() == ""
    signed = json.loads((VECTORS / "signing.json").read_text())["vectors"]
    sealed = json.loads((VECTORS / "card.json").read_text())["seals"]
    said = [f"ok signing.json: {vector['name']}" for vector in signed]
    said += [f"ok card.json: {vector['name']}" for vector in sealed if vector["suite"] == 1]
    assert (done.stdout.decode().splitlines(), done.returncode) == (said, 0)


@pytest.mark.parametrize(
    ("name", "part", "member"),
    [
        ("signing.json", "vectors", "canonicalString"),
        ("signing.json", "vectors", "signature"),
        ("card.json", "seals", "ciphertext"),
    ],
)
async def test_a_wrong_vector_is_noticed(tmp_path: Path, name: str, part: str, member: str) -> None:
    """The check of the vectors is able to fail."""
    for each in VECTORS.iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    vectors = json.loads((VECTORS / name).read_text())
    vectors[part][0][member] += "0"
    (tmp_path / name).write_text(json.dumps(vectors))
    assert (await _run("--check-vectors", tmp_path)).returncode == 1
