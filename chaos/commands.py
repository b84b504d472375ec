"""`turnout chaos`: a stack under load and faults, and whether three witnesses agree in the end."""

from __future__ import annotations

import json
import secrets
import sys
from typing import Any, Final

import click

EXIT_FAULT: Final = 1
EXIT_CANNOT_START: Final = 3
EXIT_INTERRUPTED: Final = 130
_SEED_BITS: Final = 31
_RATE_MAX: Final = 1_000.0


@click.command()
@click.option("--seed", type=int, help="Of payments and faults; drawn and printed if left out.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.1, max=1_440),
    default=1.0,
    show_default=True,
    help="How long there is load.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0.1, max=_RATE_MAX),
    default=40.0,
    show_default=True,
    help="Payments begun a second.",
)
@click.option(
    "--switches",
    type=click.IntRange(1, 4),
    default=1,
    show_default=True,
    help="Processes of the switch.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--keep", is_flag=True, help="Leave the data directory behind.")
def chaos(
    *, seed: int | None, minutes: float, rate: float, switches: int, as_json: bool, keep: bool
) -> None:
    """Break a stack of its own under load, and compare three witnesses in the end.

    Exit status 1 when a payment is unresolved, lost, duplicated or told differently by what the
    merchant heard, the ledger and the networks' books, when the event stream does not hold every
    version of every row once, when the audit log does not verify or payments are booked otherwise
    than they are; 3 when the stack does not start.
    """
    import trio  # noqa: PLC0415  --help must not wait

    from chaos.run import Order, run_chaos  # noqa: PLC0415
    from stack.temporary import TemporaryStackError  # noqa: PLC0415

    order = Order(
        seed=secrets.randbits(_SEED_BITS) if seed is None else seed,
        duration_s=minutes * 60,
        rate_per_s=rate,
        switches=switches,
        keep=keep,
    )
    try:
        run = trio.run(run_chaos, order)
    except* TemporaryStackError as group:
        click.echo(f"turnout chaos: {group.exceptions[0]}", err=True)
        sys.exit(EXIT_CANNOT_START)
    except* KeyboardInterrupt:
        click.echo(f"turnout chaos: interrupted; the seed was {order.seed}", err=True)
        sys.exit(EXIT_INTERRUPTED)
    document = run.document()
    click.echo(json.dumps(document, indent=2) if as_json else summary(document))
    sys.exit(0 if run.holds else EXIT_FAULT)


def summary(document: dict[str, Any]) -> str:
    """The document in three lines, for people."""
    wrong = ", ".join(f"{document[name]} {name}" for name in ("unresolved", "lost", "duplicated"))
    done = f"{document['charges']} charges, {len(document['faults'])} faults"
    stream = ", ".join(f"{number} {name}" for name, number in document["stream"].items())
    audit = f"{document['audit']['events']} audited, {document['audit']['findings']} findings"
    books = document["postings"]
    return "\n".join(
        [
            f"seed {document['seed']}: {done}",
            f"{wrong}, {len(document['disagree'])} disagree",
            f"stream: {stream}; {audit}; {books['rows']} postings, {books['different']} different",
        ]
    )
