"""The metrics of a running stack, read as a monitoring system would."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Self
from urllib.request import urlopen

import attrs
import trio

_LINE: Final = re.compile(r"(?P<name>[a-z0-9_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>[-+0-9.eE]+)")
TIMEOUT_S: Final = 5.0


@attrs.frozen
class Metrics:
    """Samples by name, with their labels as text."""

    samples: tuple[tuple[str, str, float], ...]

    @classmethod
    async def of(cls, endpoints: Mapping[str, str]) -> Self:
        """Read the switches' metrics."""
        texts = [
            await trio.to_thread.run_sync(_fetch, url)
            for name, url in endpoints.items()
            if name.startswith("switch")
        ]
        found = [_LINE.fullmatch(line) for text in texts for line in text.splitlines()]
        return cls(
            tuple(
                (match["name"], match["labels"] or "", float(match["value"]))
                for match in found
                if match is not None
            )
        )

    def total(self, name: str, **labels: str) -> float:
        """The sum of a series over everything that carries these labels.

        Raises:
            ValueError: there is none, so whatever is concluded from its sum would hold of nothing.
        """
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = [
            value
            for sample, text, value in self.samples
            if sample == name and all(each in text for each in wanted)
        ]
        if not found:
            raise ValueError(f"the switch has no series {name} with {labels}")
        return sum(found)


def _fetch(url: str) -> str:
    with urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310  our own address
        text: str = answer.read().decode()
        return text
