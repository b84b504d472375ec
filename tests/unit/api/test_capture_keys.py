"""The document of `GET /keys`: fetched once for many."""

from __future__ import annotations

import json
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from api.capture_keys import CaptureKeyDirectory, keys_document
from api.errors import Problem, ProblemError
from api.key_service import KeyService
from hsm_sim.wire import CaptureKey

KEY = CaptureKey("3vNMky2BYyw", 1, bytes(range(32)), "active", 1_767_323_045)


class Service:
    """Lists one key, or fails."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False

    async def capture_keys(self) -> list[CaptureKey]:
        """The key."""
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise ProblemError(Problem("hsm_unavailable"))
        return [KEY]


def test_the_document_is_the_contracts() -> None:
    """Unpadded base64url, RFC 3339."""
    assert json.loads(keys_document([KEY])) == {
        "keys": [
            {
                "kid": "3vNMky2BYyw",
                "suite": 1,
                "publicKey": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
                "state": "active",
                "notAfter": "2026-01-02T03:04:05Z",
            }
        ]
    }


async def test_it_is_kept_for_its_time(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    """Those who ask together share one fetch, and so does everybody for a minute."""
    service = Service()
    directory = CaptureKeyDirectory(cast("KeyService", service), keep_s=60.0, queue_max=3)
    nursery.start_soon(directory.run)
    answers: list[bytes | Problem] = []
    for _ in range(3):
        directory.get(answers.append)
    with pytest.raises(ProblemError):
        directory.get(answers.append)
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(59)
    directory.get(answers.append)
    assert answers == [keys_document([KEY])] * 4
    assert service.asked == 1
    mock_clock.jump(2)
    directory.get(answers.append)
    await trio.testing.wait_all_tasks_blocked()
    assert (len(answers), service.asked) == (5, 2)
    directory.close()


async def test_a_failure_is_told_and_not_kept(nursery: trio.Nursery) -> None:
    """The next request tries again."""
    service = Service()
    service.fails = True
    directory = CaptureKeyDirectory(cast("KeyService", service), keep_s=60.0, queue_max=3)
    nursery.start_soon(directory.run)
    answers: list[bytes | Problem] = []
    directory.get(answers.append)
    await trio.testing.wait_all_tasks_blocked()
    service.fails = False
    directory.get(answers.append)
    await trio.testing.wait_all_tasks_blocked()
    assert answers == [Problem("hsm_unavailable"), keys_document([KEY])]
    directory.close()
