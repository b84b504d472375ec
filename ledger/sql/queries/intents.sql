-- name: create_intents
-- Create a batch of payment intents, each under an idempotency key and, where it has one, a
-- merchant reference. One array per column; a null reference claims none.
-- Stages: claim references, take keys, insert the intent with its details, what they are searched
-- by, and its expiry. A row
-- that falls out is a verdict, read later. So does a row whose bucket is another shard's by now:
-- reading the fence holds off whoever wants to take a bucket away until this has committed, and
-- what is read is never older than the lock ($16 buckets, $17 epochs; ADR 0029). Claims and keys are taken in index order, so that two
-- batches cannot wait for each other.
WITH claimed AS (
    INSERT INTO merchant_references (merchant_id, live, reference, intent_id)
    SELECT r.merchant_id, r.live, r.reference, r.intent_id
    FROM unnest($1::uuid[], $2::uuid[], $3::boolean[], $12::text[], $16::integer[], $17::integer[])
        AS r (intent_id, merchant_id, live, reference, bucket, epoch)
    CROSS JOIN LATERAL (
        SELECT FROM bucket_fence AS g
        WHERE g.bucket = r.bucket AND g.epoch = r.epoch AND g.owned
        LIMIT 1
    ) AS f
    WHERE r.reference IS NOT NULL
    ORDER BY r.merchant_id, r.live, r.reference
    ON CONFLICT DO NOTHING
    RETURNING intent_id
),
keyed AS (
    INSERT INTO idempotency (merchant_id, key_digest, request_hash, intent_id)
    SELECT r.merchant_id, r.key_digest, r.request_hash, r.intent_id
    FROM unnest(
        $1::uuid[], $2::uuid[], $12::text[], $13::uuid[], $14::uuid[], $16::integer[],
        $17::integer[]
    ) AS r (intent_id, merchant_id, reference, key_digest, request_hash, bucket, epoch)
    CROSS JOIN LATERAL (
        SELECT FROM bucket_fence AS g
        WHERE g.bucket = r.bucket AND g.epoch = r.epoch AND g.owned
        LIMIT 1
    ) AS f
    LEFT JOIN claimed AS c ON c.intent_id = r.intent_id
    WHERE r.reference IS NULL OR c.intent_id IS NOT NULL
    ORDER BY r.merchant_id, r.key_digest
    ON CONFLICT DO NOTHING
    RETURNING intent_id
),
detailed AS (
    INSERT INTO payment_intent_details (
        intent_id, request_id, client_secret_hash, merchant_reference, description, metadata
    )
    SELECT
        r.intent_id, r.request_id, r.client_secret_hash, r.reference, r.description,
        r.metadata::jsonb
    FROM unnest(
        $1::uuid[], $8::uuid[], $9::bytea[], $10::text[], $11::text[], $12::text[]
    ) AS r (intent_id, request_id, client_secret_hash, description, metadata, reference)
    JOIN keyed AS k ON k.intent_id = r.intent_id
),
termed AS (
    INSERT INTO intent_terms (merchant_id, live, term, intent_id)
    SELECT r.merchant_id, r.live, t.term, r.intent_id
    FROM unnest($1::uuid[], $2::uuid[], $3::boolean[], $11::text[], $12::text[])
        AS r (intent_id, merchant_id, live, metadata, reference)
    JOIN keyed AS k ON k.intent_id = r.intent_id
    CROSS JOIN LATERAL (
        SELECT intent_term('', r.reference) AS term WHERE r.reference IS NOT NULL
        UNION ALL
        SELECT intent_term(m.key, m.value) FROM jsonb_each_text(r.metadata::jsonb) AS m
    ) AS t
    WHERE r.reference IS NOT NULL OR r.metadata IS NOT NULL
    ON CONFLICT DO NOTHING
),
expiring AS (
    INSERT INTO intent_expiry (due_at, intent_id)
    SELECT r.expires_at, r.intent_id
    FROM unnest($1::uuid[], $15::timestamptz[]) AS r (intent_id, expires_at)
    JOIN keyed AS k ON k.intent_id = r.intent_id
)
INSERT INTO payment_intents (
    id, merchant_id, live, amount_minor, currency, capture_method, allow_partial
)
SELECT
    r.id, r.merchant_id, r.live, r.amount_minor, r.currency, r.capture_method, r.allow_partial
FROM unnest(
    $1::uuid[], $2::uuid[], $3::boolean[], $4::bigint[], $5::text[], $6::text[], $7::boolean[]
) AS r (id, merchant_id, live, amount_minor, currency, capture_method, allow_partial)
JOIN keyed AS k ON k.intent_id = r.id
RETURNING id, created_at

-- name: release_unclaimed_references
-- Give up claims whose intent was not created, because its key turned out to be taken. Runs in the
-- transaction of create_intents. $1 intent ids, $2 merchant ids, $3 live, $4 references.
DELETE FROM merchant_references AS m
USING unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::text[])
    AS r (intent_id, merchant_id, live, reference)
WHERE m.merchant_id = r.merchant_id AND m.live = r.live AND m.reference = r.reference
    AND m.intent_id = r.intent_id
    AND NOT EXISTS (SELECT FROM payment_intents AS p WHERE p.id = r.intent_id)

-- name: read_creation_findings
-- What stands in the way of intents that create_intents did not return: one row each, in order of
-- $1. $1 merchant ids, $2 key digests, $3 live, $4 references (null: none), $5 buckets, $6 epochs.
SELECT
    i.request_hash, i.intent_id, i.transaction_id, m.intent_id AS holder,
    f.bucket IS NOT NULL AS owned
FROM unnest(
    $1::uuid[], $2::uuid[], $3::boolean[], $4::text[], $5::integer[], $6::integer[]
) WITH ORDINALITY AS r (merchant_id, key_digest, live, reference, bucket, epoch, place)
LEFT JOIN LATERAL (
    SELECT k.request_hash, k.intent_id, k.transaction_id
    FROM idempotency AS k
    WHERE k.merchant_id = r.merchant_id AND k.key_digest = r.key_digest
    LIMIT 1
) AS i ON true
LEFT JOIN LATERAL (
    SELECT n.intent_id
    FROM merchant_references AS n
    WHERE n.merchant_id = r.merchant_id AND n.live = r.live AND n.reference = r.reference
    LIMIT 1
) AS m ON true
LEFT JOIN LATERAL (
    SELECT g.bucket
    FROM bucket_fence AS g
    WHERE g.bucket = r.bucket AND g.epoch = r.epoch AND g.owned
    LIMIT 1
) AS f ON true
ORDER BY r.place

-- name: read_key_uses
-- Whether keys are in use on this ledger; one row each, in order of $1. $1 merchant ids,
-- $2 key digests.
SELECT EXISTS (
    SELECT FROM idempotency AS k
    WHERE k.merchant_id = r.merchant_id AND k.key_digest = r.key_digest
) AS used
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS r (merchant_id, key_digest, place)
ORDER BY r.place

-- name: get_intents
-- A batch of intents with details and latest transaction; another merchant's are not found.
-- $1 merchant ids, $2 intent ids. Returns found ones only, with their place in the batch.
SELECT
    r.place,
    p.id, p.merchant_id, p.live, p.amount_minor, p.currency, p.status, p.capture_method,
    p.allow_partial, p.capturable_minor, p.captured_minor, p.refunded_minor, p.disputed_minor,
    p.cancel_requested, p.capture_before, p.version, p.created_at, p.updated_at,
    d.client_secret_hash, d.description, d.metadata, d.merchant_reference,
    s.*
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS r (merchant_id, intent_id, place)
CROSS JOIN LATERAL (
    SELECT * FROM payment_intents AS q
    WHERE q.id = r.intent_id AND q.merchant_id = r.merchant_id
    LIMIT 1
) AS p
CROSS JOIN LATERAL (
    SELECT * FROM payment_intent_details AS e WHERE e.intent_id = r.intent_id LIMIT 1
) AS d
LEFT JOIN LATERAL (
    SELECT * FROM transaction_states AS x
    WHERE x.intent_id = r.intent_id
    ORDER BY x.transaction_id DESC
    LIMIT 1
) AS s ON true
