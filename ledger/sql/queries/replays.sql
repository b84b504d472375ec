-- name: find_replays
-- Which of these idempotency keys are known, and what became of them: found keys only.
-- $1 merchant ids, $2 key digests.
SELECT r.place, i.request_hash, i.transaction_id AS key_transaction_id, s.*
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS r (merchant_id, key_digest, place)
CROSS JOIN LATERAL (
    SELECT k.request_hash, k.intent_id, k.transaction_id
    FROM idempotency AS k
    WHERE k.merchant_id = r.merchant_id AND k.key_digest = r.key_digest
    LIMIT 1
) AS i
LEFT JOIN LATERAL (
    SELECT *
    FROM transaction_states AS y
    WHERE y.intent_id = i.intent_id AND y.transaction_id = i.transaction_id
    LIMIT 1
) AS s ON true
