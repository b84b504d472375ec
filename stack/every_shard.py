"""`--shard K|all`: a command for one ledger, run for every one of a stack.

Such a command knows one place, prints one document or some lines for people, and ends with a
status. For `all` it is run for each shard in turn, and what it printed is gathered: the documents
as members of one, the lines under a heading each. That one shard shows a fault (status 1) or cannot
be asked (status 3) does not keep the next from being looked at; the program ends with the worst of
their statuses. Wrong usage, and settings that do not say where the shards are, end it at once.
"""

from __future__ import annotations

import functools
import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, Final

import click

from chassis.settings import SHARDS_MAX
from chassis.shard_names import shards_in
from stack.endings import EXIT_FAULT
from stack.options import EXIT_CANNOT_START, Place, narrowed

ALL: Final = "all"
_NUMBER: Final = click.IntRange(0, SHARDS_MAX - 1)
_GATHERED: Final = frozenset({0, EXIT_FAULT, EXIT_CANNOT_START})


class _ShardOrAll(click.ParamType[int | str]):
    name = f"K|{ALL}"

    def convert(
        self, value: int | str, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Read a shard's number, or the word."""
        if value == ALL:
            return value
        number: int = _NUMBER(value, param, ctx)
        return number


def every_shard_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--shard K|all`; stands above `settings_options`.

    The command has an option `--json` besides, which it receives as `as_json`.
    """

    @click.option(
        "--shard",
        type=_ShardOrAll(),
        default=0,
        help=f"Whose ledger, or {ALL}.  [default: 0, the first]",
    )
    @functools.wraps(command)
    def with_shard(*, shard: int | str, as_json: bool, **rest: Any) -> None:
        ask = functools.partial(command, as_json=as_json, **rest)
        if isinstance(shard, int):
            ask(narrow=functools.partial(narrowed, shard))
        else:
            sys.exit(_ask_all(ask, as_json=as_json))

    return with_shard


def _ask_all(ask: Callable[..., None], *, as_json: bool) -> int:
    """Run a command for each shard; returns the worst status."""
    status, count = 0, 0
    answers: list[str] = []

    def narrow(shard: int, place: Place) -> Place:
        nonlocal count
        count = shards_in(place.data_dir)
        return narrowed(shard, place)

    while not answers or len(answers) < count:
        printed = io.StringIO()
        try:
            with redirect_stdout(printed):
                ask(narrow=functools.partial(narrow, len(answers)))
        except SystemExit as ending:
            code = ending.code or 0
            if count == 0 or not isinstance(code, int) or code not in _GATHERED:
                raise
            status = max(status, code)
        answers.append(printed.getvalue())
    click.echo(_document(answers) if as_json else _lines(answers), nl=as_json)
    return status


def _document(answers: list[str]) -> str:
    """One document of many; of a shard whose command could not answer there is none."""
    shards = [
        {"shard": shard, "answer": json.loads(answer) if answer else None}
        for shard, answer in enumerate(answers)
    ]
    return json.dumps({"shards": shards}, indent=2)


def _lines(answers: list[str]) -> str:
    return "".join(f"shard {shard}\n{answer}" for shard, answer in enumerate(answers))
