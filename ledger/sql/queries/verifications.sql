-- name: due_verifications
-- Doubts of one switch to look into now, soonest due first. $1 owner, $2 now, $3 rows at most,
-- $4 networks that can be asked now; a window that is over needs none.
SELECT
    v.attempt_id, v.transaction_id, v.network, v.due_at, v.window_ends_at, v.inquiries, v.manual,
    v.intent_id, v.owner, v.epoch
FROM verifications AS v
WHERE v.owner = $1::text AND v.due_at <= $2::timestamptz AND NOT v.manual
    AND (v.network = ANY ($4::text[]) OR v.window_ends_at <= $2::timestamptz)
ORDER BY v.due_at, v.attempt_id
LIMIT $3::bigint

-- name: count_verifications
-- How many doubts are open, by network, and how many of them wait for an operator.
SELECT
    v.network, count(*) FILTER (WHERE NOT v.manual), count(*) FILTER (WHERE v.manual),
    min(v.created_at)
FROM verifications AS v
GROUP BY v.network
ORDER BY v.network
