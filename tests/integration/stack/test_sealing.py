"""Sealing through the HSM's socket, against an HSM that answers as told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from chassis.settings import HSM, MuxLimits, Settings
from hsm_sim.wire import HSMReply, KeysListed, Refused, SealSecrets, SecretsSealed
from stack.api_keys import HSMSealer, SealingError
from tests.support.told_hsm import ToldHSM

PATIENT = Settings()
HASTY = Settings(
    mux=MuxLimits(connect_timeout_s=0.1, reconnect_min_s=0.01, reconnect_max_s=0.01),
    hsm=HSM(open_deadline_s=0.1),
)
PAIR = ("pk_test_docs", "sk_test_docs")
SEALED = SecretsSealed([b"sealed"])


@pytest.fixture
async def hsm(open_tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[ToldHSM]:
    """An HSM that is listening."""
    told = ToldHSM(str(open_tmp_path / "hsm-0"), lambda _: SEALED, HASTY.mux)
    await nursery.start(told.serve)
    yield told
    nursery.cancel_scope.cancel()


async def test_a_secret_is_sealed_for_its_publishable_half(hsm: ToldHSM) -> None:
    """One secret, bound to one context, and its blob comes back."""
    assert await HSMSealer(hsm.path, PATIENT).seal(*PAIR) == b"sealed"
    assert hsm.heard == [SealSecrets([b"sk_test_docs"], [b"pk_test_docs"])]


@pytest.mark.parametrize(
    ("reply", "settings", "reason"),
    [
        (Refused("not_permitted"), PATIENT, "refused to seal a secret: not_permitted"),
        (KeysListed([]), PATIENT, "did not seal a secret: it answered something else"),
        (None, HASTY, "did not seal a secret"),
    ],
)
async def test_anything_but_a_sealed_secret_is_an_error(
    hsm: ToldHSM, reply: HSMReply | None, settings: Settings, reason: str
) -> None:
    """A refusal is named; a strange answer and silence seal nothing, in bounded time."""
    hsm.answer = lambda _: reply
    with trio.fail_after(20), pytest.raises(SealingError, match=reason):
        await HSMSealer(hsm.path, settings).seal(*PAIR)


async def test_an_hsm_that_is_away_is_an_error(open_tmp_path: Path) -> None:
    """Nobody listens: the error says so instead of trying for ever."""
    with trio.fail_after(20), pytest.raises(SealingError, match="connecting failed"):
        await HSMSealer(str(open_tmp_path / "nobody"), HASTY).seal(*PAIR)
