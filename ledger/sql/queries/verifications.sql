-- name: due_verifications
-- Doubts of one switch to look into now, soonest due first. $1 owner, $2 now, $3 rows at most,
-- $4 networks that can be asked now; a window that is over needs none.
SELECT
    v.attempt_id, v.transaction_id, v.network, v.due_at, v.window_ends_at, v.inquiries,
    v.intent_id, v.owner, v.epoch
FROM verifications AS v
WHERE v.owner = $1::text AND v.due_at <= $2::timestamptz
    AND (v.network = ANY ($4::text[]) OR v.window_ends_at <= $2::timestamptz)
ORDER BY v.due_at, v.attempt_id
LIMIT $3::bigint

-- name: count_verifications
-- How many doubts are open, by network, and since when the oldest is.
SELECT v.network, count(*), min(v.created_at)
FROM verifications AS v
GROUP BY v.network
ORDER BY v.network

-- name: list_doubts
-- A page of doubts with the messages whose outcome is unknown, oldest first. $1 only ids above this
-- one, $2 rows at most.
SELECT
    v.attempt_id, v.transaction_id, v.network, v.due_at, v.window_ends_at, v.inquiries,
    v.intent_id, v.owner, v.created_at,
    a.mti, a.acquirer_id, a.stan, a.rrn, a.de7, a.amount_minor, a.currency
FROM verifications AS v
CROSS JOIN LATERAL (
    SELECT * FROM attempts AS b WHERE b.intent_id = v.intent_id AND b.id = v.attempt_id LIMIT 1
) AS a
WHERE v.attempt_id > $1::uuid
ORDER BY v.attempt_id
LIMIT $2::bigint

-- name: show_doubt
-- One doubt and the message whose outcome is unknown. $1 attempt id.
SELECT
    v.attempt_id, v.transaction_id, v.network, v.due_at, v.window_ends_at, v.inquiries,
    v.intent_id, v.owner, v.created_at,
    a.mti, a.acquirer_id, a.stan, a.rrn, a.de7, a.amount_minor, a.currency
FROM verifications AS v
CROSS JOIN LATERAL (
    SELECT * FROM attempts AS b WHERE b.intent_id = v.intent_id AND b.id = v.attempt_id LIMIT 1
) AS a
WHERE v.attempt_id = $1::uuid
