-- name: open_attempts
-- A page of one owner's attempts without any outcome, in id order. $1 owner, $2 only ids above
-- this one, $3 rows at most.
SELECT
    a.intent_id, a.id, a.transaction_id, t.request_id, a.amount_minor, a.currency, a.network,
    a.acquirer_id, a.mti, a.stan, a.rrn, a.de7, a.epoch, a.deadline_at
FROM attempts AS a
CROSS JOIN LATERAL (
    SELECT x.request_id FROM transactions AS x
    WHERE x.intent_id = a.intent_id AND x.id = a.transaction_id
    LIMIT 1
) AS t
LEFT JOIN LATERAL (
    SELECT y.phase FROM outcomes AS y
    WHERE y.intent_id = a.intent_id AND y.attempt_id = a.id
    LIMIT 1
) AS o ON true
WHERE a.owner = $1::text AND a.id > $2::uuid AND o.phase IS NULL
ORDER BY a.id
LIMIT $3::bigint

-- name: newest_attempt
-- The newest attempt of an owner, if any: its id and RRN. $1 owner.
SELECT a.id, a.rrn FROM attempts AS a WHERE a.owner = $1::text ORDER BY a.id DESC LIMIT 1
