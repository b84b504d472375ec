"""What `turnout archive` asks a running stack: who needs the stream, whose payments are whose."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import trio

from chassis.log import configure_logging
from chassis.supervisor import StartError
from ledger.archive.catalog import work_folder
from ledger.archive.consumers import ledger_needs, log_needs, merchants_of
from ledger.archive.errors import ArchiveError
from ledger.archive.month_notes import read_month
from ledger.audit.folders import log_folder, witness_folder
from ledger.audit.notes import VerifierKey
from ledger.comparison.position import load
from ledger.connection import ANSWER_TIMEOUT_S, Connection
from ledger.errors import LedgerError
from ledger.partitions import dropped_months
from ledger.postings.booking import GROUP as BOOKING
from ledger.postings.checker import GROUP as CHECKING
from ledger.roles import READER
from ledger.stream.attempt_monitor import GROUP as MONITORING
from ledger.webhooks.statuses import CONSUMER_GROUP as TELLING
from stack.database import dsn_of_running
from stack.endpoints import NotRunningError
from stack.layout import webhooks_run
from stack.options import Place, quiet_log
from stack.running import find_running

T = TypeVar("T")

KAFKA: Final = "kafka"
SHARD: Final = 0


def consumers(place: Place, log_key: VerifierKey) -> dict[str, int] | str:
    """From which record on each consumer needs the stream; or why nobody can tell.

    Raises:
        NoteError: a checkpoint is not the log's.
        OSError: it cannot be read.
    """
    needs = event_readers(place)
    if isinstance(needs, str):
        return needs
    if place.settings.relay.second:
        needs["comparer"] = compared_from(place.data_dir)
    witness = witness_folder(place.data_dir, place.settings.audit.witness_dir)
    return needs | log_needs(log_folder(place.data_dir, SHARD), witness, log_key)


def event_readers(place: Place) -> dict[str, int] | str:
    """From which record on those need the stream who take in its events; or why nobody can tell."""
    try:
        needs = ask(place, READER, partial(ledger_needs, shard=SHARD, expected=_expected(place)))
        if place.settings.stream.backend == KAFKA:
            needs["forwarder"] = _forwarded(place)
    except NotRunningError:
        return "no stack runs on this data directory"
    except (StartError, LedgerError) as error:
        return str(error)
    return needs


def left_tables(place: Place, key: VerifierKey) -> Callable[[bytes], bool] | str:
    """Which payments have left the tables, as ledger and archive both say; or why nobody can tell.

    Args:
        place: whose tables.
        key: the archive's, which has signed what of each month was dropped.
    """
    try:
        months = ask(place, READER, dropped_months)
        for month in months:
            read_month(work_folder(place.data_dir, SHARD), key, month.label)
    except NotRunningError:
        return "no stack runs on this data directory"
    except (StartError, LedgerError, ArchiveError, OSError) as error:
        return str(error)
    return lambda intent_id: any(month.holds(intent_id) for month in months)


def owners_of(place: Place, intents: Collection[bytes]) -> Mapping[bytes, bytes]:
    """The merchants of payments, as far as a running stack knows them."""
    try:
        return ask(place, READER, partial(merchants_of, intents=intents))
    except (NotRunningError, StartError, LedgerError):
        return {}  # nobody knows: whoever asks takes the payments for held


def ask(
    place: Place,
    role: str,
    question: Callable[[Connection], Awaitable[T]],
    *,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
) -> T:
    """Ask the ledger of a running stack something, in a session of its own.

    Args:
        place: whose.
        role: to log in as.
        question: gets the session.
        answer_timeout_s: a statement not answered by then ends the session.

    Raises:
        NotRunningError: no stack runs there.
        StartError: its passwords are not ours to read.
        LedgerError: or one of its children.
    """
    stack = find_running(place.settings, place.data_dir)
    configure_logging(quiet_log(place.settings.log), process="archive")
    dsn = dsn_of_running(stack.settings, stack.data_dir, stack.endpoints, role)
    opened = partial(
        Connection.open,
        dsn,
        connect_timeout_s=stack.settings.ledger.connect_timeout_s,
        answer_timeout_s=answer_timeout_s,
    )
    return trio.run(_with_session, opened, question)


async def _with_session(
    opened: Callable[[], Awaitable[Connection]], question: Callable[[Connection], Awaitable[T]]
) -> T:
    session = await opened()
    try:
        return await question(session)
    finally:
        await session.aclose()


def _expected(place: Place) -> list[str]:
    """The groups that run with these settings, begun or not."""
    settings = place.settings
    groups = [MONITORING] if settings.relay.enabled else []
    if settings.postings.enabled:
        groups.append(BOOKING)
        if settings.postings.check_intents_per_s:
            groups.append(CHECKING)
    if webhooks_run(settings):
        groups.append(TELLING)
    return groups


def compared_from(data_dir: Path) -> int:
    """The segment in which the comparer of two streams goes on, with all that is behind it."""
    position = load(data_dir)
    return position.first.place.segment if position else 0


def _forwarded(place: Place) -> int:
    """How far Kafka is; raises LedgerError where that cannot be told."""
    from ledger.stream.kafka.positions import read_positions  # noqa: PLC0415  needs an extra

    state = read_positions(place.settings.kafka, SHARD).state
    return state.next_offset if state else 0
