"""Payment intents: created, read, listed. The api does all three in batches and changes nothing.

Creation is idempotent like a charge: a batch is one statement, what falls out of it is a verdict,
and a run of unknown fate is repeated with the same ids until it is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chassis.settings.tree import Ledger
from ledger.committing import Committer
from ledger.listing import EVERY_INTENT, IntentFilter, PageBounds, page_query
from ledger.pgtypes import (
    bool_array,
    bytea_array,
    int4_array,
    int8_array,
    text_array,
    timestamptz_array,
    uuid_array,
)
from ledger.records import (
    Created,
    CreationVerdict,
    IntentPage,
    IntentReplay,
    IntentRow,
    IntentToCreate,
    Lost,
    Moved,
    TransactionRow,
)
from ledger.shards.buckets import bucket_of
from ledger.statements import QUERIES, Runner

SCAN_ROWS_MAX: Final = 2_000  # read for one page of a list
PAGE_ROWS_MAX: Final = 100
REPEATS_MAX: Final = 3  # of a creation that could not run; then its callers hear of it

_CREATE: Final = QUERIES["create_intents"]
_RELEASE: Final = QUERIES["release_unclaimed_references"]
_FINDINGS: Final = QUERIES["read_creation_findings"]
_KEY_USES: Final = QUERIES["read_key_uses"]
_GET: Final = QUERIES["get_intents"]

_INTENT_COLUMNS: Final = 21


class Intents(Committer[IntentToCreate, CreationVerdict]):
    """Reads and creates intents; `runner` is a pool of role turnout_api."""

    def __init__(self, runner: Runner, *, limits: Ledger) -> None:
        super().__init__(limits, patient=True, repeats_max=REPEATS_MAX)
        self._runner = runner

    async def create(self, batch: Sequence[IntentToCreate]) -> list[CreationVerdict]:
        """Create a batch; for one task at a time. The verdicts stand in its order.

        `Lost` carries `idempotency_key_reused`, `merchant_reference_in_use` (with the holder),
        `operation_in_progress`, or `internal_error` for a row that the database refuses as such.
        `Moved`: another shard may create it, or soon will.

        Raises:
            ValueError: two requests of one key, or of one reference, in one batch.
            RetryableError, ConnectionLostError: still not possible after some repeats. The fate is
                unknown: the same request under the same key finds it out.
        """
        _check_distinct(batch)
        return [verdict for verdict in await self._decide(batch) if verdict is not None]

    async def look_up(self, batch: Sequence[IntentToCreate]) -> list[IntentReplay | Lost | None]:
        """What this shard, a former owner, holds under the keys and references of requests.

        Their buckets are closed here for good, so what was not created here will never be. None:
        nothing that is in the way of creating it elsewhere.
        """
        found = await self._verdicts(batch)
        verdicts = [found[row.intent_id] for row in batch]
        return [
            verdict if isinstance(verdict, IntentReplay | Lost) else None for verdict in verdicts
        ]

    async def find_keys(self, wanted: Sequence[tuple[bytes, bytes]]) -> list[bool]:
        """Whether something was done here under (merchant id, key digest), in that order."""
        merchant_ids, digests = zip(*wanted, strict=True)
        result = await self._runner.run(_KEY_USES, [uuid_array(merchant_ids), uuid_array(digests)])
        return result.column(0)

    async def get_many(self, wanted: Sequence[tuple[bytes, bytes]]) -> list[IntentRow | None]:
        """Intents by (merchant id, intent id), in that order; None if absent or another's."""
        if not wanted:
            return []
        merchant_ids, intent_ids = zip(*wanted, strict=True)
        result = await self._runner.run(_GET, [uuid_array(merchant_ids), uuid_array(intent_ids)])
        found: list[IntentRow | None] = [None] * len(wanted)
        for place, *columns in result.rows():
            found[place - 1] = _intent_row(columns)
        return found

    async def list_page(
        self,
        merchant_id: bytes,
        *,
        live: bool,
        limit: int,
        after: bytes | None = None,
        only: IntentFilter = EVERY_INTENT,
        scan_rows_max: int = SCAN_ROWS_MAX,
    ) -> IntentPage:
        """A page of one merchant's intents, newest first.

        What no index decides filters the rows that were read (`ledger.listing`), so a page may
        hold fewer intents than asked for, even none, and still have a successor.

        Args:
            merchant_id: Whose.
            live: Of which mode.
            limit: Intents at most, up to `PAGE_ROWS_MAX`.
            after: The cursor of the page before.
            only: Which of them.
            scan_rows_max: Rows read for one page, whether they match or not.
        """
        if not 1 <= limit <= PAGE_ROWS_MAX:
            raise ValueError(f"a page holds 1 to {PAGE_ROWS_MAX} intents")
        within = PageBounds(merchant_id, live, after, limit + 1, scan_rows_max)
        rows = (await self._runner.run(*page_query(within, only))).rows()
        intents = [_intent_row(columns) for matches, _, *columns in rows if matches]
        if len(intents) > limit:
            return IntentPage(intents[:limit], after=intents[limit - 1].intent_id)
        at_bound = rows[-1][2] if rows and rows[-1][1] == scan_rows_max else None
        return IntentPage(intents, after=at_bound)

    async def _once(self, rows: Sequence[IntentToCreate]) -> list[CreationVerdict | None]:
        steps = [(_CREATE, _creation_params(rows))]
        claiming = [row for row in rows if row.merchant_reference]
        if claiming:
            steps.append(
                (
                    _RELEASE,
                    [
                        uuid_array([row.intent_id for row in claiming]),
                        uuid_array([row.merchant_id for row in claiming]),
                        bool_array([row.live for row in claiming]),
                        text_array([row.merchant_reference for row in claiming]),
                    ],
                )
            )
        created, *_ = await self._runner.pipeline(steps)
        instants = dict(created.rows())
        verdicts: dict[bytes, CreationVerdict | None] = {
            row.intent_id: Created(_fresh_row(row, instants[row.intent_id]))
            for row in rows
            if row.intent_id in instants
        }
        if len(verdicts) < len(rows):
            missing = [row for row in rows if row.intent_id not in verdicts]
            verdicts.update(await self._verdicts(missing))
        return [verdicts[row.intent_id] for row in rows]

    async def _verdicts(
        self, rows: Sequence[IntentToCreate]
    ) -> dict[bytes, CreationVerdict | None]:
        params = [
            uuid_array([row.merchant_id for row in rows]),
            uuid_array([row.key_digest for row in rows]),
            bool_array([row.live for row in rows]),
            text_array([row.merchant_reference or None for row in rows]),
            int4_array([bucket_of(row.merchant_id) for row in rows]),
            int4_array([row.epoch for row in rows]),
        ]
        findings = (await self._runner.run(_FINDINGS, params)).rows()
        verdicts: dict[bytes, CreationVerdict | None] = {}
        known: list[tuple[IntentToCreate, bytes]] = []
        for row, (request_hash, intent_id, transaction_id, holder, owned) in zip(
            rows, findings, strict=True
        ):
            if request_hash is None and holder is not None:
                verdicts[row.intent_id] = Lost("merchant_reference_in_use", holder)
            elif request_hash is None:
                verdicts[row.intent_id] = None if owned else Moved()
            elif request_hash != row.request_hash or transaction_id is not None:
                verdicts[row.intent_id] = Lost("idempotency_key_reused")
            else:
                known.append((row, intent_id))
        if known:
            found = await self.get_many([(row.merchant_id, id_) for row, id_ in known])
            for (row, id_), intent in zip(known, found, strict=True):
                verdict = Created if id_ == row.intent_id else IntentReplay
                verdicts[row.intent_id] = verdict(intent) if intent is not None else None
        return verdicts

    def _refuse(self, row: IntentToCreate) -> CreationVerdict:  # noqa: ARG002  all alike
        return Lost("internal_error")

    def _give_up(self, row: IntentToCreate) -> CreationVerdict | None:  # noqa: ARG002  all alike
        return Lost("operation_in_progress")


def _creation_params(rows: Sequence[IntentToCreate]) -> list[bytes | None]:
    return [
        uuid_array([row.intent_id for row in rows]),
        uuid_array([row.merchant_id for row in rows]),
        bool_array([row.live for row in rows]),
        int8_array([row.amount_minor for row in rows]),
        text_array([row.currency for row in rows]),
        text_array([row.capture_method for row in rows]),
        bool_array([row.allow_partial for row in rows]),
        uuid_array([row.request_id for row in rows]),
        bytea_array([row.client_secret_hash for row in rows]),
        text_array([row.description or None for row in rows]),
        text_array([row.metadata.decode() or None for row in rows]),
        text_array([row.merchant_reference or None for row in rows]),
        uuid_array([row.key_digest for row in rows]),
        uuid_array([row.request_hash for row in rows]),
        timestamptz_array([row.expires_at_us for row in rows]),
        int4_array([bucket_of(row.merchant_id) for row in rows]),
        int4_array([row.epoch for row in rows]),
    ]


def _fresh_row(row: IntentToCreate, created_at_us: int) -> IntentRow:
    """A new intent as a read would give it."""
    return IntentRow(
        intent_id=row.intent_id,
        merchant_id=row.merchant_id,
        live=row.live,
        amount_minor=row.amount_minor,
        currency=row.currency,
        status="created",
        capture_method=row.capture_method,
        allow_partial=row.allow_partial,
        capturable_minor=0,
        captured_minor=0,
        refunded_minor=0,
        disputed_minor=0,
        cancel_requested=False,
        capture_before_us=None,
        version=1,
        created_at_us=created_at_us,
        updated_at_us=created_at_us,
        client_secret_hash=row.client_secret_hash,
        description=row.description or None,
        metadata=row.metadata or None,
        merchant_reference=row.merchant_reference or None,
        latest_transaction=None,
    )


def _intent_row(columns: Sequence[Any]) -> IntentRow:
    state = columns[_INTENT_COLUMNS:]
    transaction = TransactionRow(*state) if state[0] is not None else None
    fields = (*columns[:_INTENT_COLUMNS], transaction)
    return IntentRow(*fields)


def _check_distinct(batch: Sequence[IntentToCreate]) -> None:
    if len({(row.merchant_id, row.key_digest) for row in batch}) < len(batch):
        raise ValueError("a batch holds at most one request of an idempotency key")
    claims = [
        (row.merchant_id, row.live, row.merchant_reference)
        for row in batch
        if row.merchant_reference
    ]
    if len(set(claims)) < len(claims):
        raise ValueError("a batch holds at most one claim of a merchant reference")
