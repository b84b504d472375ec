-- name: find_keys
-- Which of these idempotency keys are known: found keys only. $1 merchant ids, $2 key digests.
-- Hardly ever one is, so this runs for every batch of charges and does nothing but look; what
-- became of a key's charge is a statement of its own, because a plan over its tables costs more to
-- set up than all the keys to find.
SELECT r.place, i.request_hash, i.intent_id, i.transaction_id
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS r (merchant_id, key_digest, place)
CROSS JOIN LATERAL (
    SELECT k.request_hash, k.intent_id, k.transaction_id
    FROM idempotency AS k
    WHERE k.merchant_id = r.merchant_id AND k.key_digest = r.key_digest
    LIMIT 1
) AS i

-- name: read_transaction_states
-- What became of transactions: one row each, in order of $2, null where there is none.
-- $1 intent ids, $2 transaction ids.
SELECT s.*
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS r (intent_id, transaction_id, place)
LEFT JOIN LATERAL (
    SELECT *
    FROM transaction_states AS y
    WHERE y.intent_id = r.intent_id AND y.transaction_id = r.transaction_id
    LIMIT 1
) AS s ON true
ORDER BY r.place
