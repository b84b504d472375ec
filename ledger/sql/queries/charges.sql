-- name: record_charges
-- Commit 1: record a batch of charges, at most one per intent. $1 switch, $2 epoch, $3 lowest and
-- $4 highest intent id (they prune partitions when the plan starts), $5 charges per intent, then
-- one array per column, all of the same length and in intent order.
-- $28 are the intents whose row is an account verification: amount 0, on a created intent, which
-- stays created. $29 are those whose row goes over a network that authorizes and captures in one
-- message: an intent that is to be captured later admits none such.
-- Stages: lock the intents that admit a charge, in id order; take the idempotency keys, in digest
-- order; insert transactions, where a reused ciphertext drops out; insert attempts; move the
-- intents. A row that falls out of a stage is a verdict, read later: nothing here raises for what
-- a client did. Every stage joins what the one before returned to unnest(), which hashes well;
-- CTEs joined to each other cost twice as much.
-- The slow lane runs this text without SKIP LOCKED.
WITH lease AS MATERIALIZED (
    SELECT switch FROM switch_leases WHERE switch = $1::text AND epoch = $2::integer FOR KEY SHARE
),
locked AS MATERIALIZED (
    SELECT
        p.id, p.merchant_id, p.live, p.amount_minor, p.currency, p.version,
        p.id = ANY ($28::uuid[]) AS verifies
    FROM payment_intents AS p
    WHERE p.id = ANY ($6::uuid[]) AND p.id BETWEEN $3::uuid AND $4::uuid
        AND p.status IN ('created', 'failed') AND p.live_transaction_id IS NULL
        AND (p.status = 'created' OR p.id <> ALL ($28::uuid[]))
        AND (p.capture_method = 'automatic' OR p.id <> ALL ($29::uuid[]))
        AND NOT p.cancel_requested AND p.charge_count < $5::integer
        AND (SELECT count(*) FROM lease) = 1
    ORDER BY p.id
    FOR NO KEY UPDATE SKIP LOCKED
),
keyed AS (
    INSERT INTO idempotency (merchant_id, key_digest, request_hash, intent_id, transaction_id)
    SELECT r.merchant_id, r.key_digest, r.request_hash, r.intent_id, r.transaction_id
    FROM unnest($6::uuid[], $7::uuid[], $8::uuid[], $10::uuid[], $11::uuid[], $27::boolean[])
        AS r (intent_id, merchant_id, transaction_id, key_digest, request_hash, live)
    JOIN locked AS l
        ON l.id = r.intent_id AND l.merchant_id = r.merchant_id AND l.live = r.live
    ORDER BY r.key_digest
    ON CONFLICT DO NOTHING
    RETURNING intent_id
),
charged AS (
    INSERT INTO transactions (
        intent_id, id, request_id, fingerprint, card_digest, amount_minor, intent_version,
        card_exp_year, card_exp_month, type, currency, card_brand, card_last4, sealed_card
    )
    SELECT
        r.intent_id, r.id, r.request_id, r.fingerprint, r.card_digest,
        CASE WHEN l.verifies THEN 0 ELSE l.amount_minor END, l.version + 1, r.exp_year,
        r.exp_month, CASE WHEN l.verifies THEN 'verification' ELSE 'charge' END, l.currency,
        r.brand, r.last4, r.sealed
    FROM unnest(
        $6::uuid[], $8::uuid[], $12::uuid[], $13::uuid[], $14::bytea[], $15::uuid[],
        $16::text[], $17::text[], $18::smallint[], $19::smallint[]
    ) AS r (
        intent_id, id, request_id, card_digest, sealed, fingerprint,
        brand, last4, exp_month, exp_year
    )
    JOIN keyed AS k ON k.intent_id = r.intent_id
    JOIN locked AS l ON l.id = r.intent_id
    ON CONFLICT DO NOTHING
    RETURNING intent_id, amount_minor, currency, created_at
),
attempted AS (
    INSERT INTO attempts (
        intent_id, id, transaction_id, amount_minor, deadline_at, epoch, owner, network,
        acquirer_id, mti, stan, rrn, de7, currency
    )
    SELECT
        r.intent_id, r.id, r.transaction_id, c.amount_minor, r.deadline_at, $2::integer, $1::text,
        r.network, r.acquirer_id, r.mti, r.stan, r.rrn, r.de7, c.currency
    FROM unnest(
        $6::uuid[], $8::uuid[], $9::uuid[], $20::text[], $21::text[], $22::text[], $23::text[],
        $24::text[], $25::text[], $26::timestamptz[]
    ) AS r (
        intent_id, transaction_id, id, network, acquirer_id, mti, stan, rrn, de7, deadline_at
    )
    JOIN charged AS c ON c.intent_id = r.intent_id
)
UPDATE payment_intents AS p
SET status = CASE WHEN c.amount_minor = 0 THEN p.status ELSE 'processing' END,
    live_transaction_id = r.transaction_id, version = p.version + 1,
    charge_count = p.charge_count + 1, updated_at = now()
FROM unnest($6::uuid[], $8::uuid[]) AS r (intent_id, transaction_id)
JOIN charged AS c ON c.intent_id = r.intent_id
WHERE p.id = r.intent_id AND p.id BETWEEN $3::uuid AND $4::uuid
RETURNING
    p.id, c.amount_minor, p.currency, c.created_at, p.version, p.capture_method = 'manual',
    p.allow_partial

-- name: read_charge_findings
-- What stands in the way of charges that commit 1 did not return: one row each, in order of $3.
-- $1 switch, $2 epoch, then intent ids, merchant ids, key digests.
SELECT
    EXISTS (SELECT FROM switch_leases WHERE switch = $1::text AND epoch = $2::integer) AS leased,
    p.merchant_id, p.live, p.status, p.live_transaction_id, p.charge_count,
    p.capture_method = 'manual' AS manual, p.allow_partial, i.request_hash, i.transaction_id AS key_transaction_id,
    t.intent_version, s.*
FROM unnest($3::uuid[], $4::uuid[], $5::uuid[])
    WITH ORDINALITY AS r (intent_id, merchant_id, key_digest, place)
LEFT JOIN LATERAL (
    SELECT
        q.merchant_id, q.live, q.status, q.live_transaction_id, q.charge_count, q.capture_method,
        q.allow_partial
    FROM payment_intents AS q
    WHERE q.id = r.intent_id
    LIMIT 1
) AS p ON true
LEFT JOIN LATERAL (
    SELECT k.request_hash, k.intent_id, k.transaction_id
    FROM idempotency AS k
    WHERE k.merchant_id = r.merchant_id AND k.key_digest = r.key_digest
    LIMIT 1
) AS i ON true
LEFT JOIN LATERAL (
    SELECT x.intent_version
    FROM transactions AS x
    WHERE x.intent_id = i.intent_id AND x.id = i.transaction_id
    LIMIT 1
) AS t ON true
LEFT JOIN LATERAL (
    SELECT *
    FROM transaction_states AS y
    WHERE y.intent_id = i.intent_id AND y.transaction_id = i.transaction_id
    LIMIT 1
) AS s ON true
ORDER BY r.place
