-- Dropping months of the payment tables, all of it as their owner: docs/archive.md.

-- name: month_waiting
-- What still waits for payments of a range of ids, a row for each kind. $1 the lowest id, $2 the
-- lowest behind it, $3 since when an idempotency key may still be asked for.
SELECT 'store_and_forward', count(*) FROM store_and_forward AS s
WHERE s.intent_id >= $1::uuid AND s.intent_id < $2::uuid
UNION ALL
SELECT 'verifications', count(*) FROM verifications AS v
WHERE v.intent_id >= $1::uuid AND v.intent_id < $2::uuid
UNION ALL
SELECT 'expiry', count(*) FROM intent_expiry AS e
WHERE e.intent_id >= $1::uuid AND e.intent_id < $2::uuid
UNION ALL
SELECT 'open exceptions', count(*) FROM exceptions AS x
WHERE x.closed_at IS NULL AND x.intent_id >= $1::uuid AND x.intent_id < $2::uuid
UNION ALL
SELECT 'parked events', count(*) FROM stream_parked AS p
WHERE p.intent_id >= $1::uuid AND p.intent_id < $2::uuid
UNION ALL
SELECT 'idempotency keys', count(*) FROM idempotency AS i
WHERE i.created_at >= $3::timestamptz AND i.intent_id >= $1::uuid AND i.intent_id < $2::uuid

-- name: month_note_detached
-- A month is no part of the tables any more. $1 month, $2 the lowest id, $3 the lowest behind it,
-- $4 operator.
INSERT INTO archived_months (month, first_id, end_id, operator)
VALUES ($1::text, $2::uuid, $3::uuid, $4::text)

-- name: month_note_dropped
-- It is gone. $1 month.
UPDATE archived_months SET dropped_at = now() WHERE month = $1::text

-- name: month_forget
-- It is a part of the tables again. $1 month.
WITH sums AS (DELETE FROM carried_sums WHERE month = $1::text)
DELETE FROM archived_months WHERE month = $1::text AND dropped_at IS NULL

-- name: months_detached
-- The months that were detached, and are not dropped yet.
SELECT m.month FROM archived_months AS m WHERE m.dropped_at IS NULL ORDER BY m.month

-- name: months_dropped
-- The months that were dropped. Role: turnout_reader.
SELECT m.month FROM archived_months AS m WHERE m.dropped_at IS NOT NULL ORDER BY m.month

-- name: months_attached
-- The months that the table of payment intents has.
SELECT right(c.relname, 7)
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'payment_intents'::regclass AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
ORDER BY 1
