-- name: sweep_expired
-- Cancel a bounded batch of intents whose time is over. $1 now, $2 rows at most, $3 when to look
-- again at those that are busy. Returns one row: canceled, done with in all, put off, and the ids
-- of those put off because their authorization has lapsed.
-- Only created and failed intents without a live operation are canceled, and their merchant
-- references freed; busy ones are put off, and so are lapsed authorizations, which take a message
-- to the network to cancel; for the rest the timer is over, and of two timers of one intent only
-- the first goes on. Intents that somebody has locked stay as they are until the next sweep.
WITH due AS MATERIALIZED (
    SELECT e.due_at, e.intent_id
    FROM intent_expiry AS e
    WHERE e.due_at <= $1::timestamptz
    ORDER BY e.due_at, e.intent_id
    LIMIT $2::bigint
    FOR UPDATE SKIP LOCKED
),
timers AS MATERIALIZED (
    SELECT d.due_at, d.intent_id,
        row_number() OVER (PARTITION BY d.intent_id ORDER BY d.due_at) = 1 AS is_first
    FROM due AS d
),
locked AS MATERIALIZED (
    SELECT
        p.id,
        p.status IN ('created', 'failed') AND p.live_transaction_id IS NULL AS idle,
        p.status IN ('processing', 'pending_verification')
            OR p.live_transaction_id IS NOT NULL AS busy,
        p.status = 'authorized' AND coalesce(p.capture_before <= $1::timestamptz, false) AS lapsed
    FROM payment_intents AS p
    WHERE p.id = ANY (ARRAY(SELECT d.intent_id FROM due AS d))
    ORDER BY p.id
    FOR NO KEY UPDATE SKIP LOCKED
),
canceled AS (
    UPDATE payment_intents AS p
    SET status = 'canceled', canceled_by = 'expiry', version = p.version + 1, updated_at = now()
    FROM locked AS l
    WHERE p.id = l.id AND l.idle
    RETURNING p.id, p.merchant_id, p.live
),
freed AS (
    DELETE FROM merchant_references AS m
    USING canceled AS c
    CROSS JOIN LATERAL (
        SELECT e.merchant_reference FROM payment_intent_details AS e WHERE e.intent_id = c.id
        LIMIT 1
    ) AS d
    WHERE m.merchant_id = c.merchant_id AND m.live = c.live
        AND m.reference = d.merchant_reference AND m.intent_id = c.id
),
finished AS (
    DELETE FROM intent_expiry AS e
    USING timers AS d
    JOIN locked AS l ON l.id = d.intent_id
    WHERE e.due_at = d.due_at AND e.intent_id = d.intent_id
        AND NOT (d.is_first AND (l.busy OR l.lapsed))
    RETURNING e.intent_id
),
put_off AS (
    UPDATE intent_expiry AS e
    SET due_at = $3::timestamptz
    FROM timers AS d
    JOIN locked AS l ON l.id = d.intent_id
    WHERE e.due_at = d.due_at AND e.intent_id = d.intent_id
        AND d.is_first AND (l.busy OR l.lapsed)
    RETURNING e.intent_id
)
SELECT
    (SELECT count(*) FROM canceled),
    (SELECT count(*) FROM finished),
    (SELECT count(*) FROM put_off),
    ARRAY(SELECT l.id FROM locked AS l WHERE l.lapsed)

-- name: expire_idempotency_keys
-- Delete a bounded batch of keys that are older than 30 days; $1 rows at most. Returns how many.
SELECT expire_idempotency($1::integer)
