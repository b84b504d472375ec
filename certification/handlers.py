"""What networks usually do to a message when a case wants something to go wrong."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from certification.network import Exchange, Handler
from network_sim.decisions import Ruling


async def drop(_exchange: Exchange) -> None:
    """Never answer, never decide: the message is lost on its way."""


async def withhold(exchange: Exchange) -> None:
    """Decide, and lose the answer on its way back."""
    exchange.decide()


def ruled(ruling: Ruling) -> Handler:
    """Decide as ruled."""

    async def handler(exchange: Exchange) -> None:
        exchange.answer(ruling)

    return handler


def code(response_code: str, *, approved: int = 0) -> Handler:
    """Answer with a response code."""
    return ruled(Ruling(response_code, approved))


def altered(changes: Mapping[int, str | None], note: str = "altered") -> Handler:
    """Decide well and answer badly."""

    async def handler(exchange: Exchange) -> None:
        exchange.answer(changes=changes, note=note)

    return handler


def delayed(seconds: float, ruling: Ruling | None = None) -> Handler:
    """Decide at once, answer later."""

    async def handler(exchange: Exchange) -> None:
        answer = exchange.decide(ruling)
        await trio.sleep(seconds)
        exchange.send(answer, note=f"{seconds:g} s late")

    return handler
