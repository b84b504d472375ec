"""The settlement dates that networks have told, and whose totals were compared (iso8583.md 3.20).

A network moves on to another date by a cutover (0800/201). Answers that carry no DE 15 of their own
belong to the date told last, so it outlives the process. Totals of the days before are compared
once, per currency.
"""

from __future__ import annotations

from typing import Final

from ledger.pgtypes import bool_, int4_, text_
from ledger.statements import QUERIES, Runner

_BEGIN: Final = QUERIES["begin_settlement_day"]
_PRESENT: Final = QUERIES["present_settlement_days"]
_TO_BALANCE: Final = QUERIES["days_to_balance"]
_BALANCE: Final = QUERIES["note_balance"]


async def begin_settlement_day(runner: Runner, network: str, settles_on: str) -> None:
    """Note the date that a network has told. Role: turnout_switch.

    Args:
        runner: as the switch.
        network: by its name.
        settles_on: YYYY-MM-DD.

    Raises:
        RowError: `settles_on` is no date.
        DatabaseError: or one of its other children.
    """
    await runner.run(_BEGIN, [text_(network), text_(settles_on)])


async def present_settlement_days(runner: Runner) -> dict[str, str]:
    """The date that each network has told last, YYYY-MM-DD, by name. Roles: switch, reader."""
    return dict((await runner.run(_PRESENT)).rows())


async def days_to_balance(
    runner: Runner, network: str, *, days_back: int = 7
) -> list[tuple[str, str]]:
    """Dates before the network's present one, and currencies, that were not compared; oldest first.

    Role: turnout_switch.
    """
    result = await runner.run(_TO_BALANCE, [text_(network), int4_(days_back)])
    return [(settles_on, currency) for settles_on, currency in result.rows()]


async def note_balance(
    runner: Runner, network: str, settles_on: str, currency: str, *, in_balance: bool
) -> None:
    """Note what a network answered to our totals of one day and currency. Role: turnout_switch."""
    params = [text_(network), text_(settles_on), text_(currency), bool_(in_balance)]
    await runner.run(_BALANCE, params)
