-- Pages of one merchant's intents, newest first: three ways into the same page. All of them take
-- $1 merchant id, $2 live, $3 only ids below this one, $4 only ids from this one on, $5 statuses,
-- $6 rows wanted, $7 rows read at most, $8 the lowest amount.
-- What is no index column filters at most $7 rows a page: the status, because it changes, and a
-- range of amounts, because what it finds is in no order of ids. The row at that bound comes back
-- even where it does not match, so that the next page can start from it.

-- name: list_intents
-- All intents of a merchant. $9 the highest amount.
SELECT
    p.matches, p.place,
    p.id, p.merchant_id, p.live, p.amount_minor, p.currency, p.status, p.capture_method,
    p.allow_partial, p.capturable_minor, p.captured_minor, p.refunded_minor, p.disputed_minor,
    p.cancel_requested, p.capture_before, p.version, p.created_at, p.updated_at,
    d.client_secret_hash, d.description, d.metadata, d.merchant_reference,
    s.*
FROM (
    SELECT
        *,
        scanned.status = ANY ($5::text[])
            AND scanned.amount_minor BETWEEN $8::bigint AND $9::bigint AS matches
    FROM (
        SELECT *, row_number() OVER (ORDER BY q.id DESC) AS place
        FROM payment_intents AS q
        WHERE q.merchant_id = $1::uuid AND q.live = $2::boolean
            AND q.id < $3::uuid AND q.id >= $4::uuid
        ORDER BY q.id DESC
        LIMIT $7::bigint
    ) AS scanned
    WHERE scanned.place = $7::bigint
        OR scanned.status = ANY ($5::text[])
            AND scanned.amount_minor BETWEEN $8::bigint AND $9::bigint
    ORDER BY scanned.id DESC
    LIMIT $6::bigint
) AS p
CROSS JOIN LATERAL (
    SELECT * FROM payment_intent_details AS e WHERE e.intent_id = p.id LIMIT 1
) AS d
LEFT JOIN LATERAL (
    SELECT * FROM transaction_states AS x
    WHERE x.intent_id = p.id
    ORDER BY x.transaction_id DESC
    LIMIT 1
) AS s ON true
ORDER BY p.id DESC

-- name: list_intents_by_amount
-- The intents over one amount, $8.
SELECT
    p.matches, p.place,
    p.id, p.merchant_id, p.live, p.amount_minor, p.currency, p.status, p.capture_method,
    p.allow_partial, p.capturable_minor, p.captured_minor, p.refunded_minor, p.disputed_minor,
    p.cancel_requested, p.capture_before, p.version, p.created_at, p.updated_at,
    d.client_secret_hash, d.description, d.metadata, d.merchant_reference,
    s.*
FROM (
    SELECT *, scanned.status = ANY ($5::text[]) AS matches
    FROM (
        SELECT *, row_number() OVER (ORDER BY q.id DESC) AS place
        FROM payment_intents AS q
        WHERE q.merchant_id = $1::uuid AND q.live = $2::boolean
            AND q.amount_minor = $8::bigint AND q.id < $3::uuid AND q.id >= $4::uuid
        ORDER BY q.id DESC
        LIMIT $7::bigint
    ) AS scanned
    WHERE scanned.place = $7::bigint OR scanned.status = ANY ($5::text[])
    ORDER BY scanned.id DESC
    LIMIT $6::bigint
) AS p
CROSS JOIN LATERAL (
    SELECT * FROM payment_intent_details AS e WHERE e.intent_id = p.id LIMIT 1
) AS d
LEFT JOIN LATERAL (
    SELECT * FROM transaction_states AS x
    WHERE x.intent_id = p.id
    ORDER BY x.transaction_id DESC
    LIMIT 1
) AS s ON true
ORDER BY p.id DESC

-- name: list_intents_by_term
-- The intents with a merchant reference or with metadata, or both. $9 the highest amount, $10, $11 name and value of
-- the term that they are searched by (`intent_term`), $12 the reference or null, $13 a JSON object
-- of metadata. An intent that was dropped with its month is an id that matches nothing.
SELECT
    p.matches, p.place,
    p.intent_id, p.merchant_id, p.live, p.amount_minor, p.currency, p.status, p.capture_method,
    p.allow_partial, p.capturable_minor, p.captured_minor, p.refunded_minor, p.disputed_minor,
    p.cancel_requested, p.capture_before, p.version, p.created_at, p.updated_at,
    p.client_secret_hash, p.description, p.metadata, p.merchant_reference,
    s.*
FROM (
    SELECT
        scanned.intent_id, scanned.place,
        q.merchant_id, q.live, q.amount_minor, q.currency, q.status, q.capture_method,
        q.allow_partial, q.capturable_minor, q.captured_minor, q.refunded_minor,
        q.disputed_minor, q.cancel_requested, q.capture_before, q.version, q.created_at,
        q.updated_at, d.client_secret_hash, d.description, d.metadata, d.merchant_reference,
        m.matches
    FROM (
        SELECT t.intent_id, row_number() OVER (ORDER BY t.intent_id DESC) AS place
        FROM intent_terms AS t
        WHERE t.merchant_id = $1::uuid AND t.live = $2::boolean
            AND t.term = intent_term($10::text, $11::text)
            AND t.intent_id < $3::uuid AND t.intent_id >= $4::uuid
        ORDER BY t.intent_id DESC
        LIMIT $7::bigint
    ) AS scanned
    LEFT JOIN LATERAL (
        SELECT * FROM payment_intents AS i WHERE i.id = scanned.intent_id LIMIT 1
    ) AS q ON true
    LEFT JOIN LATERAL (
        SELECT * FROM payment_intent_details AS e WHERE e.intent_id = scanned.intent_id LIMIT 1
    ) AS d ON true
    CROSS JOIN LATERAL (
        SELECT COALESCE(
            q.status = ANY ($5::text[])
            AND q.amount_minor BETWEEN $8::bigint AND $9::bigint
            AND d.merchant_reference IS NOT DISTINCT FROM
                COALESCE($12::text, d.merchant_reference)
            AND ($13::text::jsonb = '{}' OR d.metadata @> $13::text::jsonb),
            false
        ) AS matches
    ) AS m
    WHERE m.matches OR scanned.place = $7::bigint
    ORDER BY scanned.intent_id DESC
    LIMIT $6::bigint
) AS p
LEFT JOIN LATERAL (
    SELECT * FROM transaction_states AS x
    WHERE x.intent_id = p.intent_id
    ORDER BY x.transaction_id DESC
    LIMIT 1
) AS s ON true
ORDER BY p.intent_id DESC
