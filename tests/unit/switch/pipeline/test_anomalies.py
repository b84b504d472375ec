"""Anomalies are told of, and a flood of one kind costs a few lines a second."""

from __future__ import annotations

from typing import Any

import pytest

from switch.pipeline.anomalies import LINES_PER_S, Anomalies


class Scene:
    """A clock and what was written."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[dict[str, Any]] = []
        self.anomalies = Anomalies(lambda: self.now)

    def flood(self, count: int, event: str = "garbage") -> None:
        """Tell of so many anomalies of a kind."""
        for number in range(count):
            self.anomalies.tell(self.write, event, number=number)

    def write(self, event: str, **values: object) -> None:
        """Keep a line."""
        self.lines.append({"event": event, **values})


@pytest.fixture
def scene() -> Scene:
    """A quiet one."""
    return Scene()


def test_a_flood_is_ten_lines_a_second(scene: Scene) -> None:
    """The first ten are told whole, and nothing more within their second."""
    scene.flood(5_000)
    scene.now += 0.999
    scene.flood(1)
    assert scene.lines == [{"event": "garbage", "number": n} for n in range(LINES_PER_S)]


def test_the_next_second_says_what_was_withheld_once(scene: Scene) -> None:
    """The first line after the pause carries the number, the second does not."""
    scene.flood(LINES_PER_S + 7)
    scene.now += 1.0
    scene.flood(2)
    assert scene.lines[-2:] == [
        {"event": "garbage", "number": 0, "withheld": 7},
        {"event": "garbage", "number": 1},
    ]


def test_one_kind_does_not_hide_another(scene: Scene) -> None:
    """Each kind has its own lines."""
    scene.flood(100)
    scene.flood(1, "approval_without_attempt")
    assert scene.lines[-1]["event"] == "approval_without_attempt"


def test_rare_anomalies_are_all_told(scene: Scene) -> None:
    """Nine a second, for ever, lose nothing."""
    for _ in range(5):
        scene.flood(9)
        scene.now += 1.0
    assert len(scene.lines) == 45
    assert not any("withheld" in line for line in scene.lines)
