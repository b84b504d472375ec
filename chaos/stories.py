"""The payments of a run, drawn from its seed. Pure.

The n-th payment of a seed is always the same, at whatever rate payments begin and whatever becomes
of them. What it asks for may be refused where the stack finds it in another state than usual; that
is an answer like others.
"""

from __future__ import annotations

from enum import Enum
from random import Random
from typing import Final, Literal

from attrs import frozen

Method = Literal["automatic", "manual"]
OperationType = Literal["charge", "capture", "cancel", "refund"]

CURRENCY: Final = "usd"
AMOUNT_MIN: Final = 500
AMOUNT_MAX: Final = 50_000
CUT_S_MAX: Final = 0.06  # an answer is usually there within 20 ms
APPROVED: Final = {"vsim": "42424200", "msim": "55555500"}
DECLINED: Final = {"vsim": "42424205", "msim": "55555505"}
# Cards of `turnout cards` that leave a payment in doubt for a while, with their weights.
DOUBTFUL: Final[tuple[tuple[str, int], ...]] = (
    ("4000000000009805", 4),  # approved after a second
    ("4000000000006801", 2),  # silent; an inquiry says approved
    ("4000000000008807", 2),  # the approval comes after the deadline
    ("4000000000007809", 1),  # silent for ever
)
DOUBTFUL_SHARE: Final = 0.06
DECLINED_SHARE: Final = 0.05


class Way(Enum):
    """How a request is made."""

    PLAIN = "plain"
    LOST = "lost"  # its answer is not waited for; it is asked again under the same key
    TWICE = "twice"  # two of it are under way at once


@frozen(kw_only=True)
class Operation:
    """One thing to ask for.

    Attributes:
        type: of the transaction.
        amount: minor units; 0 = all that there is.
        final: of captures: the rest is released.
        way: how the request is made.
        cut_s: of lost answers: how long they are waited for.
    """

    type: OperationType
    amount: int = 0
    final: bool = True
    way: Way = Way.PLAIN
    cut_s: float = 0.0


@frozen(kw_only=True)
class Story:
    """One payment.

    Attributes:
        number: from 0; names its idempotency keys.
        network: the card's.
        pan: a test card.
        amount: of the intent.
        method: how the intent is captured.
        stages: what is asked for; what stands in one stage is asked for at once, and the next
            begins when all of it is known.
        impatient: the intent is canceled while its charge may be in doubt.
    """

    number: int
    network: str
    pan: str
    amount: int
    method: Method
    stages: tuple[tuple[Operation, ...], ...]
    impatient: bool = False


def story(seed: int, number: int) -> Story:
    """The payment of this number."""
    chance = Random(f"chaos {seed} payment {number}")
    network = chance.choice(("vsim", "msim"))
    method: Method = "manual" if network == "msim" and chance.random() < 0.6 else "automatic"
    amount = chance.randint(AMOUNT_MIN, AMOUNT_MAX)
    pan = f"{APPROVED[network]}{number:08d}"
    drawn = chance.random()
    if drawn < DECLINED_SHARE:
        pan = f"{DECLINED[network]}{number:08d}"
    elif drawn < DECLINED_SHARE + DOUBTFUL_SHARE and network == "vsim":
        cards = [card for card, _ in DOUBTFUL]
        (pan,) = chance.choices(cards, [weight for _, weight in DOUBTFUL])
    stages: list[tuple[Operation, ...]] = [(_asked(chance, "charge"),)]
    stages += _held(chance, amount) if method == "manual" else _collected(chance, amount)
    return Story(
        number=number,
        network=network,
        pan=pan,
        amount=amount,
        method=method,
        stages=tuple(stages),
        impatient=chance.random() < 0.03,
    )


def marked_story(
    seed: int, number: int, *, network: str, amount: int, message: OperationType
) -> Story:
    """A payment whose amount brings about a fault of its network, at one of its messages."""
    stages: dict[OperationType, tuple[tuple[Operation, ...], ...]] = {
        "charge": ((Operation(type="charge"),),),
        "capture": ((Operation(type="charge"),), (Operation(type="capture", amount=amount),)),
        "cancel": ((Operation(type="charge"),), (Operation(type="cancel"),)),
        "refund": ((Operation(type="charge"),), (Operation(type="refund", amount=amount),)),
    }
    chance = Random(f"chaos {seed} marked {number}")
    manual = message in ("capture", "cancel") or (network == "msim" and chance.random() < 0.5)
    return Story(
        number=number,
        network=network,
        pan=f"{APPROVED[network]}{number:08d}",
        amount=amount,
        method="manual" if manual and message != "refund" else "automatic",
        stages=stages[message],
    )


def _asked(
    chance: Random, kind: OperationType, amount: int = 0, *, final: bool = True
) -> Operation:
    way = chance.choices((Way.PLAIN, Way.LOST, Way.TWICE), (70, 18, 12))[0]
    cut_s = chance.random() * CUT_S_MAX if way is Way.LOST else 0.0
    return Operation(type=kind, amount=amount, final=final, way=way, cut_s=cut_s)


def _held(chance: Random, amount: int) -> list[tuple[Operation, ...]]:
    """What becomes of an amount that is held."""
    drawn = chance.random()
    if drawn < 0.15:
        return []  # it stays so
    if drawn < 0.35:
        return [(_asked(chance, "cancel"),)]
    if drawn < 0.6:
        part = chance.randint(1, amount)
        return [(_asked(chance, "capture", part),), *_collected(chance, part)]
    first = chance.randint(1, amount - 2)
    second = chance.randint(1, amount - first - 1)
    stages: list[tuple[Operation, ...]] = [
        (_asked(chance, "capture", first, final=False),),
        (_asked(chance, "capture", second, final=False),),
    ]
    if chance.random() < 0.7:
        stages.append((_asked(chance, "capture"),))
    return [*stages, *_collected(chance, first + second)]


def _collected(chance: Random, amount: int) -> list[tuple[Operation, ...]]:
    """What becomes of money that was collected."""
    drawn = chance.random()
    if drawn < 0.55:
        return []
    if drawn < 0.7:
        return [(_asked(chance, "refund"),)]
    if drawn < 0.85:
        parts = [chance.randint(1, amount) for _ in range(3)]  # together often too much
        return [tuple(_asked(chance, "refund", part) for part in parts)]
    part = chance.randint(1, amount)
    return [(_asked(chance, "refund", part),), (_asked(chance, "refund"),)]
