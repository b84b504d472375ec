-- name: recent_declines
-- A page of what was declined, oldest first. $1 and $2 only what is after this instant and
-- attempt, $3 rows at most.
SELECT d.at, d.attempt_id, d.merchant_id, d.fingerprint, d.network, d.class
FROM declines AS d
WHERE (d.at, d.attempt_id) > ($1::timestamptz, $2::uuid)
ORDER BY d.at, d.attempt_id
LIMIT $3::bigint

-- name: forget_declines
-- Delete a bounded batch of declines before $1, oldest first; $2 rows at most.
DELETE FROM declines AS d
USING (
    SELECT x.at, x.attempt_id FROM declines AS x
    WHERE x.at < $1::timestamptz
    ORDER BY x.at, x.attempt_id
    LIMIT $2::bigint
) AS old
WHERE d.at = old.at AND d.attempt_id = old.attempt_id
