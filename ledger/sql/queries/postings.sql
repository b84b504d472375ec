-- name: posting_facts
-- What never changes of the transactions of some outcomes: found ones only, with their place.
-- $1 intent ids, $2 transaction ids, $3 attempt ids. An outcome without a message has no attempt.
SELECT
    r.place, t.type, t.amount_minor, t.final_capture, t.currency, p.merchant_id, p.live,
    p.capture_method, coalesce(a.network, '')
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[])
    WITH ORDINALITY AS r (intent_id, transaction_id, attempt_id, place)
CROSS JOIN LATERAL (
    SELECT x.type, x.amount_minor, x.final_capture, x.currency
    FROM transactions AS x
    WHERE x.intent_id = r.intent_id AND x.id = r.transaction_id
    LIMIT 1
) AS t
CROSS JOIN LATERAL (
    SELECT y.merchant_id, y.live, y.capture_method
    FROM payment_intents AS y
    WHERE y.id = r.intent_id
    LIMIT 1
) AS p
LEFT JOIN LATERAL (
    SELECT z.network FROM attempts AS z WHERE z.intent_id = r.intent_id AND z.id = r.attempt_id
    LIMIT 1
) AS a ON true

-- name: posting_books
-- What was booked for some payments so far. $1 intent ids.
SELECT b.intent_id, b.transaction_id, b.kind, b.amount_minor
FROM unnest($1::uuid[]) AS r (intent_id)
CROSS JOIN LATERAL (
    SELECT x.intent_id, x.transaction_id, x.kind, x.amount_minor
    FROM postings AS x
    WHERE x.intent_id = r.intent_id
) AS b

-- name: read_account_sums
-- The sums of some accounts: found ones only. $1 account ids.
SELECT a.id, a.debits_minor, a.credits_minor FROM accounts AS a WHERE a.id = ANY ($1::uuid[])

-- name: insert_postings
-- Book transfers; one array per column. One that stands already ends the transaction.
INSERT INTO postings (
    intent_id, source_event, leg, pending, live, transaction_id, debit_account, credit_account,
    amount_minor, occurred_at, currency, kind
)
SELECT *
FROM unnest(
    $1::uuid[], $2::uuid[], $3::smallint[], $4::boolean[], $5::boolean[], $6::uuid[], $7::uuid[],
    $8::uuid[], $9::bigint[], $10::timestamptz[], $11::text[], $12::text[]
)

-- name: fold_accounts
-- Raise the sums of accounts, in the order of their ids; new accounts come into being. One array
-- per column.
INSERT INTO accounts AS a (
    id, merchant_id, live, network, purpose, currency, debits_minor, credits_minor
)
SELECT r.id, r.merchant_id, r.live, r.network, r.purpose, r.currency, r.debits, r.credits
FROM unnest(
    $1::uuid[], $2::uuid[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::bigint[],
    $8::bigint[]
) AS r (id, merchant_id, live, network, purpose, currency, debits, credits)
ORDER BY r.id
ON CONFLICT (id) DO UPDATE
SET debits_minor = a.debits_minor + excluded.debits_minor,
    credits_minor = a.credits_minor + excluded.credits_minor,
    updated_at = now()

-- name: merchant_balance
-- A merchant's accounts. $1 merchant, $2 mode.
SELECT a.purpose, a.currency, a.debits_minor, a.credits_minor
FROM accounts AS a
WHERE a.merchant_id = $1::uuid AND a.live = $2::boolean
ORDER BY a.currency, a.purpose

-- name: trial_balance
-- Every purpose's sums, by mode and currency, over all accounts.
SELECT
    a.live, a.currency, a.purpose, sum(a.debits_minor)::bigint, sum(a.credits_minor)::bigint,
    count(*)
FROM accounts AS a
GROUP BY a.live, a.currency, a.purpose
ORDER BY a.live, a.currency, a.purpose

-- name: folded_differently
-- Accounts whose sums are not those of their postings. Reads every posting. $1 at most.
WITH folded AS (
    SELECT m.account, sum(m.debit)::bigint AS debits_minor, sum(m.credit)::bigint AS credits_minor
    FROM postings AS p
    CROSS JOIN LATERAL (
        VALUES (p.debit_account, p.amount_minor, 0::bigint), (p.credit_account, 0, p.amount_minor)
    ) AS m (account, debit, credit)
    GROUP BY m.account
)
SELECT coalesce(a.id, f.account), coalesce(a.debits_minor, 0), coalesce(a.credits_minor, 0),
    coalesce(f.debits_minor, 0), coalesce(f.credits_minor, 0)
FROM accounts AS a
FULL JOIN folded AS f ON f.account = a.id
WHERE (coalesce(a.debits_minor, 0), coalesce(a.credits_minor, 0))
    IS DISTINCT FROM (coalesce(f.debits_minor, 0), coalesce(f.credits_minor, 0))
ORDER BY 1
LIMIT $1::bigint

-- name: list_balances
-- Merchants' accounts, by merchant, mode and currency. $1 only of this merchant; NULL is any.
-- $2 rows at most.
SELECT a.merchant_id, a.live, a.currency, a.purpose, a.debits_minor, a.credits_minor
FROM accounts AS a
WHERE a.merchant_id <> '00000000-0000-0000-0000-000000000000'
    AND ($1::uuid IS NULL OR a.merchant_id = $1::uuid)
ORDER BY a.merchant_id, a.live, a.currency, a.purpose
LIMIT $2::bigint
