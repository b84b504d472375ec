"""`--shard K|all`: a command for one ledger, run for every one of a stack.

Such a command knows one place, prints one document or some lines for people, and ends with a
status. For `all` it is run for each shard in turn, and what it printed is gathered: the documents
as members of one, the lines under a heading each. A fault that one shard shows (status 1) does not
keep the next from being looked at; the program then ends with it. Anything worse ends it at once.
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
from stack.endings import EXIT_FAULT
from stack.options import Place, narrowed
from stack.shard_names import shards_in

ALL: Final = "all"
_NUMBER: Final = click.IntRange(0, SHARDS_MAX - 1)


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
    """Run a command for each shard; returns the worst status that is not the end of it."""
    status, count = 0, 1
    answers: list[str] = []

    def narrow(shard: int, place: Place) -> Place:
        nonlocal count
        count = shards_in(place.data_dir)
        return narrowed(shard, place)

    while len(answers) < count:
        printed = io.StringIO()
        try:
            with redirect_stdout(printed):
                ask(narrow=functools.partial(narrow, len(answers)))
        except SystemExit as ending:
            if ending.code not in {0, EXIT_FAULT}:
                raise
            status = max(status, EXIT_FAULT if ending.code else 0)
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
