"""Stored cards leave the HSM's process for the switch's user, noted and numbered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from chassis.settings.tree import HSM
from hsm_sim.wire import (
    CardsOpened,
    CardsReleased,
    CardToRelease,
    KeysListed,
    ListKeys,
    OpenCards,
    OpenedCard,
    Refused,
    ReleaseCards,
    ReleasedCard,
)
from tests.support.hsm import INTENT_ID, MERCHANT_ID, sealed_card
from tests.support.hsm_process import ME, ask, worker


async def released(path: str, *, number: str = "4242424242424242") -> ReleaseCards:
    """A request for a card that the worker at `path` has opened and sealed before."""
    (listed,) = await ask(path, ListKeys())
    assert isinstance(listed, KeysListed)
    (opened,) = await ask(path, OpenCards([sealed_card(listed.keys, number=number)]))
    assert isinstance(opened, CardsOpened)
    assert isinstance(opened.cards[0], OpenedCard)
    return ReleaseCards("refund", [CardToRelease(opened.cards[0].sealed, INTENT_ID, MERCHANT_ID)])


async def test_stored_cards_come_back_and_the_audit_log_has_them(tmp_path: Path) -> None:
    """Opened by one process, released by the next; the batch is in the log before the answer."""
    with worker(tmp_path) as (_, path):
        request = await released(path)
    with worker(tmp_path) as (_, path):
        (reply,) = await ask(path, request)
        log = (tmp_path / "hsm" / "audit.log").read_text()
    assert reply == CardsReleased([ReleasedCard("4242424242424242", "3012")])
    assert (
        f'"purpose":"refund","count":1,"refused":0,"uid":{ME},"intents":"{INTENT_ID.hex()}"' in log
    )
    assert "4242424242424242" not in log


async def test_the_release_limit_holds_in_a_process(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Past the limit the switch is refused, and the operator hears of it."""
    with worker(tmp_path, hsm=HSM(releases_per_minute_max=3)) as (_, path):
        request = await released(path)
        replies = await ask(path, *([request] * 5))
    assert [isinstance(reply, CardsReleased) for reply in replies] == [True] * 3 + [False] * 2
    assert replies[3:] == [Refused("rate_limited")] * 2
    assert capfd.readouterr().err.count("release_limit_reached") == 1
    assert '"release_limit_reached"' in (tmp_path / "hsm" / "audit.log").read_text()


HEAR_AS = """
import os, socket, sys
os.setresgid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2]))
os.setresuid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2]))
with socket.socket(socket.AF_UNIX) as peer:
    peer.connect(sys.argv[1])
    peer.sendall(bytes.fromhex(sys.argv[3]))
    print(peer.recv(65536).hex())
"""


@pytest.mark.privileged
@pytest.mark.parametrize("role", ["switch", "api", "admin"])
def test_stored_cards_are_for_the_switchs_user_alone(open_tmp_path: Path, role: str) -> None:
    """By the kernel's word: the same bytes of another role's user are refused and not noted."""
    request = ReleaseCards("capture", [CardToRelease(bytes(40), bytes(16), bytes(16))])
    message = msgspec.msgpack.encode([[1, request]])
    frame = len(message).to_bytes(4, "big") + message
    uids = {"switch": 52_801, "api": 52_802, "admin": 52_803}
    with worker(open_tmp_path, allowed_uids=uids) as (_, path):
        Path(path).chmod(0o666)
        asked = subprocess.run(
            [sys.executable, "-I", "-S", "-c", HEAR_AS, path, str(uids[role]), frame.hex()],
            check=True,
            capture_output=True,
            text=True,
        )
        log = (open_tmp_path / "hsm" / "audit.log").read_text()
    ((_, reply),) = msgspec.msgpack.decode(bytes.fromhex(asked.stdout)[4:])
    if role == "switch":
        assert reply == ["cards_released", [["release_refused", "card_undecryptable"]]]
    else:
        assert reply == ["hsm_refused", "not_permitted"]
    assert ("cards_released" in log) is (role == "switch")
