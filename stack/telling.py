"""Telling the demo's stories: what happened, message by message, with the networks as witnesses.

The stories are told as a merchant can tell them, through the API. The messages are rebuilt from the
ledger's record (`stack.messages`) and compared with the journals of the simulated networks, which
wrote down what they received and know nothing of the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from attrs import evolve, frozen
from rich.console import Console
from rich.text import Text

from chassis.secrets import masked_pan
from ledger.connection import Connection
from ledger.ids import parse_id, shard_of
from ledger.merchants import get_merchants
from network_sim.journal import NEVER_MS, Entry, JournalError, read_journal
from stack.context import StackContext
from stack.credentials import Credentials
from stack.messages import Circumstances, Exchange, disagreements, rebuild
from stack.payments import Attempt
from stack.show import message_table, timeline_lines
from stack.stories import Told, play_all
from switch.core.messages import Acceptor
from switch.iso8583 import load_dialect
from turnout_client.on_trio import TrioTurnout

ABOUT_MESSAGES: Final = (
    "The bytes on the wire held a card and are kept nowhere. The messages below are rebuilt from "
    "the ledger's record, masked, and compared with what the networks wrote down for themselves."
)

# Messages by the numbers that name them: RRN, STAN and DE 7.
Journal = Mapping[tuple[str, str, str], Entry]


@frozen(kw_only=True)
class Witnesses:
    """What else is known of a story's messages than the API says.

    Attributes:
        acceptor: what networks are told about the demo shop.
        journals: what each simulated network wrote down of them.
    """

    acceptor: Acceptor
    journals: Mapping[str, Journal]


async def tell(context: StackContext, merchant: Credentials, console: Console) -> list[Told]:
    """Play every story; check each against the networks' journals and print it once it has ended.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    acceptor = await _acceptor(context, merchant)
    paths = {
        name: context.data_dir / "networks" / f"{name}.log" for name in context.sockets.networks
    }
    starts = {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()}
    console.print(ABOUT_MESSAGES)
    heard: list[Told] = []

    def hear(told: Told) -> None:
        rrns = _rrns(told)
        journals = {
            name: read_by_rrn(path, rrns, start=starts[name]) for name, path in paths.items()
        }
        witnesses = Witnesses(acceptor=acceptor, journals=journals)
        heard.append(show_story(told, context, witnesses, console))

    async with TrioTurnout(merchant.publishable_key, merchant.secret_key, context.api_url) as shop:
        await play_all(shop, hear)
    return heard


def _rrns(told: Told) -> frozenset[str]:
    """Of every message that was sent."""
    transactions = told.payment.transactions() if told.payment is not None else ()
    return frozenset(
        attempt.rrn for transaction in transactions for attempt in transaction.attempts
    )


async def _acceptor(context: StackContext, merchant: Credentials) -> Acceptor:
    """What the ledger has for networks to be told of the shop."""
    merchant_id = parse_id("mer", merchant.merchant)
    session = await Connection.open(
        context.admin_dsn, connect_timeout_s=context.settings.ledger.connect_timeout_s
    )
    try:
        return Acceptor.of((await get_merchants(session, [merchant_id]))[merchant_id])
    finally:
        await session.aclose()


def read_by_rrn(path: Path, rrns: frozenset[str], *, start: int = 0) -> Journal:
    """What a journal says of these RRNs; one that cannot be read says nothing, and it will show.

    Args:
        path: of the journal.
        rrns: of the messages that are looked for.
        start: the byte before which they do not stand.
    """
    try:
        return {
            (entry.rrn, entry.stan, entry.de7): entry
            for entry in read_journal(path, start=start)
            if entry.rrn in rrns
        }
    except (OSError, JournalError):
        return {}


def show_story(told: Told, context: StackContext, witnesses: Witnesses, console: Console) -> Told:
    """Print one story, and return it with what the witnesses contradict."""
    story = told.story
    console.print()
    title = Text(f"{story.name}: {story.about}", style="bold")
    console.rule(title, align="left", characters="-", style="dim")
    if told.payment is None:
        console.print(told.problem, soft_wrap=True)
        return told
    payment = told.payment
    console.print(f"{payment.intent.id}, card {masked_pan(story.card_number)}", soft_wrap=True)
    for line in timeline_lines(payment):
        console.print(line, soft_wrap=True)
    problems = [told.problem] if told.problem else []
    transactions = payment.transactions()
    home = context.shards[shard_of(parse_id("pi", payment.intent.id))]
    for transaction in transactions:
        for attempt in _shown(transaction.attempts):
            network = home.settings.networks[attempt.network]
            circumstances = Circumstances(
                card=story.card,
                acquirer_id=network.acquirer_id,
                acceptor=witnesses.acceptor,
                dialect=load_dialect(network.dialect),
            )
            exchange = rebuild(attempt, transaction, transactions, circumstances)
            console.print()
            console.print(message_table(attempt, exchange, circumstances.dialect))
            problems += _hear(attempt, exchange, witnesses, console)
    verdict = "; ".join(problems)
    if verdict:
        console.print(f"WRONG: {verdict}", style="bold red")
    else:
        console.print(f"ended as told: {payment.intent.status}", style="green")
    return evolve(told, problem=verdict)


def _shown(attempts: Sequence[Attempt]) -> list[Attempt]:
    """All messages but the inquiries before the last: they differ in nothing but their numbers."""
    inquiries = [attempt for attempt in attempts if attempt.kind == "inquiry"]
    return [attempt for attempt in attempts if attempt not in inquiries[:-1]]


def _hear(
    attempt: Attempt, exchange: Exchange, witnesses: Witnesses, console: Console
) -> list[str]:
    """Print what the network wrote down of a message, and say where that is another one."""
    if attempt.network not in witnesses.journals:  # a real network keeps its own to itself
        return []
    if attempt.kind == "inquiry":  # decides nothing, so nothing is written down
        return []
    numbers = (attempt.rrn, attempt.stan, attempt.de7)
    entry = witnesses.journals[attempt.network].get(numbers)
    if entry is not None:
        console.print(f"{attempt.network}'s own journal: decided {say_decision(entry)}")
    return _compare(attempt, exchange, entry)


def _compare(attempt: Attempt, exchange: Exchange, entry: Entry | None) -> list[str]:
    if entry is None:
        return [f"{attempt.network} has no record of RRN {attempt.rrn}, STAN {attempt.stan}"]
    wrong = disagreements(exchange.request, entry)
    return [f"{attempt.network} received another {', '.join(wrong)}"] if wrong else []


def say_decision(entry: Entry) -> str:
    """What a network decided, when (UTC), and when it answered."""
    decided_at = datetime.fromtimestamp(entry.decided_at_us / 1_000_000, tz=UTC)
    match entry.answer_delay_ms:
        case 0:
            sent = "answered at once"
        case delay_ms if delay_ms == NEVER_MS:
            sent = "never answered"
        case delay_ms:
            sent = f"answered {delay_ms} ms later"
    return f"{entry.response_code} at {decided_at:%H:%M:%S.%f}"[:-3] + f", {sent}"
