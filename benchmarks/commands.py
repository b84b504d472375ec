"""`turnout bench NAME`: one command a benchmark, each imported only when it is called.

Every command prints one document (contract 1), for people or with `--json`, and its exit status is
1 for wrong results alone: a slow machine is not a fault. An option that was not given is left out
of the call, so defaults stand in one place, the benchmark's own `run`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import click

from chassis.settings.shards import SHARDS_MAX

EXIT_WRONG_RESULTS: Final = 1
EXIT_CANNOT_START: Final = 3

Command = Callable[..., None]


def _number(name: str, about: str, *, least: int = 1) -> Callable[[Command], Command]:
    return click.option(f"--{name}", type=click.IntRange(min=least), help=about)


def _amount(name: str, about: str) -> Callable[[Command], Command]:
    return click.option(f"--{name}", type=click.FloatRange(min=0, min_open=True), help=about)


_SECONDS: Final = _amount("seconds", "How long to measure, for each figure.")
_ROUNDS: Final = _number("rounds", "Rounds to take the median of.")
_CONNECTIONS: Final = _number("connections", "Sockets of the load generator.")
_KEEP: Final = click.option(
    "--keep", is_flag=True, default=None, help="Leave the data directory behind."
)
_PNG: Final = click.option(
    "--png",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Draw latency against rate, from open-loop runs of their own.",
)

_DUAL: Final = click.option(
    "--dual",
    is_flag=True,
    default=None,
    help="Have msim take two messages a charge, an authorization and an advice.",
)

_MAC: Final = click.option(
    "--mac",
    type=click.Choice(["none", "cmac"]),
    help="Whether messages between switch and networks carry MACs.",
)

_RELAY: Final = click.option(
    "--relay",
    type=click.Choice(["on", "alone", "off"]),
    help="What of the event stream runs meanwhile: relay, audit and postings, or the first two.",
)

_REPLICA: Final = click.option(
    "--replica/--no-replica", default=None, help="Whether intents are read on a replica."
)

# Name, what it measures, and the options that its `run` takes.
BENCHMARKS: Final[tuple[tuple[str, str, tuple[Callable[[Command], Command], ...]], ...]] = (
    (
        "codec",
        "One message encoded, one decoded, beside pyiso8583.",
        (_ROUNDS, _number("repeats", "How often a round goes through the messages.")),
    ),
    (
        "link",
        "Round trips over mutual TLS, both ends ours.",
        (_SECONDS, _ROUNDS, _number("in-flight", "Messages under way.")),
    ),
    (
        "hsm",
        "Cards opened through the HSM's socket, both suites.",
        (
            _SECONDS,
            _ROUNDS,
            _number("batch", "Cards a request."),
            _number("in-flight", "Requests waiting at the worker."),
        ),
    ),
    (
        "ledger",
        "Charges through both commits, on a Postgres of its own.",
        (
            _number("charges", "Charges a round."),
            _ROUNDS,
            _number("batch", "Charges a commit."),
            _number("preload", "Charges in the tables before the first round."),
        ),
    ),
    (
        "relay",
        "The event stream at full rate: CPU a change, lag, what it takes from charges.",
        (
            _number("charges", "Charges a round."),
            _ROUNDS,
            _number("batch", "Charges a commit."),
            _amount("rate", "Charges a second; without it as many as there can be."),
        ),
    ),
    (
        "stream",
        "A record into segment files and out again, by itself.",
        (
            _number("records", "Records a round."),
            _number("batch", "Records an append."),
            _ROUNDS,
        ),
    ),
    (
        "audit",
        "A record signed into the audit log, and verified.",
        (
            _number("records", "Records a round."),
            _number("checkpoint", "Records a signature."),
            _ROUNDS,
        ),
    ),
    (
        "decisions",
        "Refunds decided under their intents' locks, by batch size.",
        (_number("steps", "Refunds a figure."), _ROUNDS),
    ),
    (
        "api",
        "Signed requests: intents read, intents created.",
        (_SECONDS, _CONNECTIONS, _REPLICA, _KEEP),
    ),
    (
        "charges",
        "Charges through the whole stack; ends by comparing three witnesses.",
        (
            _SECONDS,
            _CONNECTIONS,
            _amount("rate", "Charges a second, open loop; without it a closed loop."),
            _number("count", "Charges to send, instead of --seconds."),
            _DUAL,
            _MAC,
            _RELAY,
            click.option(
                "--shards",
                type=click.IntRange(1, SHARDS_MAX),
                help="Ledgers to spread merchants over.",
            ),
            _KEEP,
            _PNG,
        ),
    ),
    (
        "webhooks",
        "Events to merchants' servers: from the commit on, and beside servers that are dead.",
        (
            _SECONDS,
            _amount("rate", "Events a second."),
            _number("endpoints", "Endpoints that answer."),
            _number("dead", "Endpoints that do not, in the second round."),
            _KEEP,
        ),
    ),
    (
        "doubts",
        "How long payments are in doubt when their network answers inquiries.",
        (_number("count", "Charges to make."), _amount("rate", "Charges a second."), _KEEP),
    ),
    (
        "macs",
        "What authenticating every message costs a charge, in interleaved pairs.",
        (_ROUNDS, _SECONDS, _CONNECTIONS),
    ),
    (
        "sessions",
        "Echoes and new MAC keys while charges go through one network.",
        (
            _SECONDS,
            _amount("rate", "Charges a second, open loop; without it a closed loop."),
            _CONNECTIONS,
            _KEEP,
        ),
    ),
    (
        "drain",
        "Reversals that waited for a network drain beside live charges.",
        (
            _number("reversals", "Reversals that wait."),
            _amount("rate", "Live charges a second."),
            _KEEP,
        ),
    ),
    (
        "idle",
        "What `turnout up` burns with nothing to do.",
        (_SECONDS, _KEEP),
    ),
)


@click.group()
def bench() -> None:
    """Measure one part, or the whole.

    Each benchmark runs in a fresh data directory on free ports, also while `turnout up` runs.
    """


def measure(name: str, options: dict[str, Any], *, as_json: bool) -> int:
    """Run one benchmark and print its document.

    Args:
        name: of a module of this package.
        options: for its `run`; None leaves the default.
        as_json: print JSON instead of a table.

    Returns:
        The exit status.
    """
    from benchmarks.report import WrongResultsError, show  # noqa: PLC0415  --help must not wait
    from benchmarks.workplace import UnrealStorageError  # noqa: PLC0415
    from stack.temporary import TemporaryStackError  # noqa: PLC0415

    run = import_module(f"benchmarks.{name}").run
    try:
        document = run(**{key: value for key, value in options.items() if value is not None})
    except WrongResultsError as error:
        click.echo(f"turnout bench {name}: wrong results: {error}", err=True)
        return EXIT_WRONG_RESULTS
    except (UnrealStorageError, TemporaryStackError) as error:
        click.echo(f"turnout bench {name}: {error}", err=True)
        return EXIT_CANNOT_START
    show(document, as_json=as_json)
    return 0


def _add(name: str, about: str, options: tuple[Callable[[Command], Command], ...]) -> None:
    def command(*, as_json: bool, **given: Any) -> None:
        from chassis.log import configure_logging  # noqa: PLC0415  --help must not wait
        from chassis.settings import Log  # noqa: PLC0415

        configure_logging(Log(level="warning"), process="bench")
        sys.exit(measure(name, given, as_json=as_json))

    decorated: Command = command
    for option in reversed(options):
        decorated = option(decorated)
    json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    bench.command(name, help=about)(json_option(decorated))


for _name, _about, _options in BENCHMARKS:
    _add(_name, _about, _options)
