"""The HSM's own code, asked without a process in between."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import trio

from chassis.settings.tree import HSM
from hsm_sim.key_exchange import KeyExchange
from hsm_sim.macs import answer_macs
from hsm_sim.wire import (
    ChangeSessionKey,
    HSMReply,
    HSMRequest,
    ImportSessionKey,
    ListNetworkKeys,
    Macs,
)
from switch.hsm import HSMUnavailableError
from tests.support.hsm import NOW_S
from tests.support.hsm_keys import network_keystore


class LocalHSM:
    """Network keys in a folder, with a key-exchange key of `vsim`.

    Attributes:
        asked: requests answered, by type.
        away: every request fails.
        delay_s: how long an answer takes.
        now_s: the HSM's clock, seconds since 1970.
    """

    def __init__(self, folder: Path, *, overlap_s: int = 120) -> None:
        self._store = network_keystore(folder)
        settings = HSM(session_key_overlap_s=overlap_s)
        self._exchange = KeyExchange(self._store, settings, os.urandom)
        self.asked: Counter[type] = Counter()
        self.batches: list[tuple[int, int]] = []  # MACs made and verified, by request
        self.away = False
        self.delay_s = 0.0
        self.now_s = NOW_S

    async def ask(self, request: HSMRequest) -> HSMReply:
        """As the function of `switch.hsm.asker`."""
        await trio.sleep(self.delay_s)
        if self.away:
            raise HSMUnavailableError("away")
        self.asked[type(request)] += 1
        if isinstance(request, Macs):
            self.batches.append((len(request.generate), len(request.verify)))
            return answer_macs(self._store.working, request, now_s=self.now_s)
        if isinstance(request, ListNetworkKeys):
            return self._exchange.listed(now_s=self.now_s)
        assert isinstance(request, ImportSessionKey | ChangeSessionKey)
        return self._exchange.answer(request, uid=0, now_s=self.now_s)
