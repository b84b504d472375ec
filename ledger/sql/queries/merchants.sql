-- name: create_merchant
-- $1 id, $2 name, $3 country, $4 settlement currency, $5 mcc, $6 terminal id,
-- $7 card acceptor id, $8 name and location, $9 browser origins.
INSERT INTO merchants (
    id, name, country, settlement_currency, mcc, terminal_id, card_acceptor_id, name_location,
    browser_origins
)
VALUES (
    $1::uuid, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text, $9::text[]
)
RETURNING created_at

-- name: get_merchants
-- $1 ids. Found ones only.
SELECT
    m.id, m.created_at, m.name, m.status, m.country, m.settlement_currency, m.mcc,
    m.terminal_id, m.card_acceptor_id, m.name_location, m.browser_origins
FROM merchants AS m
WHERE m.id = ANY ($1::uuid[])

-- name: list_merchants
-- Oldest first; $1 only ids above this one, $2 rows at most.
SELECT
    m.id, m.created_at, m.name, m.status, m.country, m.settlement_currency, m.mcc,
    m.terminal_id, m.card_acceptor_id, m.name_location, m.browser_origins
FROM merchants AS m
WHERE m.id > $1::uuid
ORDER BY m.id
LIMIT $2::bigint

-- name: set_browser_origins
-- $1 id, $2 origins. Returns no row when there is no such merchant.
UPDATE merchants SET browser_origins = $2::text[] WHERE id = $1::uuid RETURNING id

-- name: lock_merchant
-- Serialize what counts a merchant's keys; $1 id.
SELECT id FROM merchants WHERE id = $1::uuid FOR UPDATE

-- name: add_api_key
-- Add a pair unless two of the merchant and mode are active already. Runs behind lock_merchant.
-- $1 publishable key, $2 merchant id, $3 live, $4 sealed secret. Returns no row when refused.
INSERT INTO api_keys (publishable_key, merchant_id, live, sealed_secret)
SELECT $1::text, m.id, $3::boolean, $4::bytea
FROM merchants AS m
WHERE m.id = $2::uuid AND (
    SELECT count(*) FROM api_keys AS k
    WHERE k.merchant_id = m.id AND k.live = $3::boolean AND k.status = 'active'
) < 2
RETURNING created_at

-- name: revoke_api_key
-- $1 publishable key. Returns no row when there is no such active key.
UPDATE api_keys SET status = 'revoked', revoked_at = now()
WHERE publishable_key = $1::text AND status = 'active'
RETURNING merchant_id, live, created_at, revoked_at

-- name: list_api_keys
-- The keys of a merchant, oldest first, without secrets; $1 merchant id.
SELECT publishable_key, live, status, created_at, revoked_at
FROM api_keys
WHERE merchant_id = $1::uuid
ORDER BY created_at, publishable_key

-- name: get_credentials
-- For each active publishable key of an active merchant: whose it is, and every active pair of that
-- merchant and mode, oldest first. $1 publishable keys. Found ones only.
SELECT k.publishable_key, k.merchant_id, k.live, m.browser_origins, s.keys, s.secrets
FROM api_keys AS k
JOIN merchants AS m ON m.id = k.merchant_id AND m.status = 'active'
CROSS JOIN LATERAL (
    SELECT
        array_agg(o.publishable_key ORDER BY o.created_at, o.publishable_key) AS keys,
        array_agg(o.sealed_secret ORDER BY o.created_at, o.publishable_key) AS secrets
    FROM api_keys AS o
    WHERE o.merchant_id = k.merchant_id AND o.live = k.live AND o.status = 'active'
) AS s
WHERE k.publishable_key = ANY ($1::text[]) AND k.status = 'active'
