-- name: settle_outcomes
-- Commit 2: write the outcomes of a batch of attempts, at most one per intent, and move the
-- intents by compare-and-set. $1 switch, $2 epoch, $3 lowest and $4 highest intent id, then one
-- array per column, all of the same length and in intent order.
-- Locks wait, in id order: a skipped row would look like a late one. A row advances only while its
-- transaction is the intent's live one and no reversal is recorded; a resolution (phase 2) only
-- where the first result is `unknown` and nobody has asked to cancel. Rows that do not advance
-- touch nothing. $21 settlement dates, in days since 2000, and $22 capture times are empty where no
-- row has one: a short array of unnest() goes on in nulls. The first result is a subquery inside the CASE, not a join: it is hardly ever
-- asked for, and costs nothing then.
WITH lease AS MATERIALIZED (
    SELECT switch FROM switch_leases WHERE switch = $1::text AND epoch = $2::integer FOR KEY SHARE
),
locked AS MATERIALIZED (
    SELECT p.id, p.live_transaction_id, p.version, p.status, p.cancel_requested
    FROM payment_intents AS p
    WHERE p.id = ANY ($5::uuid[]) AND p.id BETWEEN $3::uuid AND $4::uuid
        AND p.live_transaction_id IS NOT NULL AND NOT p.reversing
        AND (SELECT count(*) FROM lease) = 1
    ORDER BY p.id
    FOR NO KEY UPDATE
),
settled AS (
    INSERT INTO outcomes (
        intent_id, attempt_id, transaction_id, request_id, at, approved_minor, intent_version,
        epoch, phase, owner, actor, result, from_status, to_status, intent_status, response_code,
        approval_code, decline_code, advice, settles_on
    )
    SELECT
        r.intent_id, r.attempt_id, r.transaction_id, r.request_id, r.at,
        nullif(r.approved_minor, 0), l.version + 1, $2::integer, r.phase, $1::text, r.actor,
        r.result, r.from_status, r.to_status, r.intent_status, r.response_code, r.approval_code,
        r.decline_code, r.advice, date '2000-01-01' + r.settles_on
    FROM unnest(
        $5::uuid[], $6::uuid[], $7::uuid[], $8::smallint[], $9::text[], $10::text[], $11::text[],
        $12::text[], $13::text[], $14::text[], $15::text[], $16::uuid[], $17::timestamptz[],
        $18::text[], $19::text[], $20::bigint[], $21::integer[]
    ) AS r (
        intent_id, attempt_id, transaction_id, phase, result, from_status, to_status,
        intent_status, response_code, approval_code, actor, request_id, at,
        decline_code, advice, approved_minor, settles_on
    )
    JOIN locked AS l ON l.id = r.intent_id AND l.live_transaction_id = r.transaction_id
    WHERE CASE r.phase
        WHEN 1 THEN l.status <> 'pending_verification'
        ELSE l.status = 'pending_verification' AND NOT l.cancel_requested
            AND (
                SELECT o.result
                FROM outcomes AS o
                WHERE o.intent_id = r.intent_id AND o.intent_id BETWEEN $3::uuid AND $4::uuid
                    AND o.attempt_id = r.attempt_id AND o.phase = 1
            ) = 'unknown'
    END
    ON CONFLICT DO NOTHING
    RETURNING intent_id
)
UPDATE payment_intents AS p
SET status = r.intent_status, version = p.version + 1, updated_at = now(),
    live_transaction_id = CASE
        WHEN r.intent_status = 'pending_verification' THEN p.live_transaction_id
    END,
    captured_minor = p.captured_minor + CASE
        WHEN r.intent_status <> 'succeeded' THEN 0
        WHEN r.approved_minor > 0 THEN r.approved_minor
        ELSE p.amount_minor
    END,
    capturable_minor = CASE
        WHEN r.intent_status <> 'authorized' THEN p.capturable_minor
        WHEN r.approved_minor > 0 THEN r.approved_minor
        ELSE p.amount_minor
    END,
    capture_before = CASE
        WHEN r.intent_status = 'authorized' THEN r.capture_before
        ELSE p.capture_before
    END
FROM unnest($5::uuid[], $12::text[], $20::bigint[], $22::timestamptz[])
    AS r (intent_id, intent_status, approved_minor, capture_before)
JOIN settled AS s ON s.intent_id = r.intent_id
WHERE p.id = r.intent_id AND p.id BETWEEN $3::uuid AND $4::uuid
RETURNING p.id, p.version

-- name: read_outcome_findings
-- Where the intents of outcomes stand that commit 2 did not advance: one row each, in order of $3.
-- $1 switch, $2 epoch, then intent ids, attempt ids, phases.
SELECT
    EXISTS (SELECT FROM switch_leases WHERE switch = $1::text AND epoch = $2::integer) AS leased,
    p.version, p.status, p.live_transaction_id, p.reversing, p.cancel_requested,
    o.result, o.actor, o.at, o.intent_version, o.intent_status, first.result AS first_result
FROM unnest($3::uuid[], $4::uuid[], $5::smallint[])
    WITH ORDINALITY AS r (intent_id, attempt_id, phase, place)
LEFT JOIN LATERAL (
    SELECT q.version, q.status, q.live_transaction_id, q.reversing, q.cancel_requested
    FROM payment_intents AS q
    WHERE q.id = r.intent_id
    LIMIT 1
) AS p ON true
LEFT JOIN LATERAL (
    SELECT x.result, x.actor, x.at, x.intent_version, x.intent_status
    FROM outcomes AS x
    WHERE x.intent_id = r.intent_id AND x.attempt_id = r.attempt_id AND x.phase = r.phase
    LIMIT 1
) AS o ON true
LEFT JOIN LATERAL (
    SELECT y.result
    FROM outcomes AS y
    WHERE y.intent_id = r.intent_id AND y.attempt_id = r.attempt_id AND y.phase = 1
    LIMIT 1
) AS first ON true
ORDER BY r.place
