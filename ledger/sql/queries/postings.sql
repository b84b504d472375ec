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
-- Accounts whose sums are not those of their postings, and of what dropped months carried on.
-- Reads every posting. $1 at most.
WITH legs AS (
    SELECT m.account, m.debit, m.credit
    FROM postings AS p
    CROSS JOIN LATERAL (
        VALUES (p.debit_account, p.amount_minor, 0::bigint), (p.credit_account, 0, p.amount_minor)
    ) AS m (account, debit, credit)
    UNION ALL
    SELECT c.account, c.debits_minor, c.credits_minor FROM carried_sums AS c
),
folded AS (
    SELECT l.account, sum(l.debit)::bigint AS debits_minor, sum(l.credit)::bigint AS credits_minor
    FROM legs AS l
    GROUP BY l.account
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

-- name: check_intents
-- The rows of some intents, to be held to their history. $1 intent ids.
SELECT
    p.id, p.merchant_id, p.live_transaction_id, p.amount_minor, p.capturable_minor,
    p.captured_minor, p.refund_pending_minor, p.refunded_minor, p.version, p.live,
    p.cancel_requested, p.currency, p.status, p.capture_method
FROM payment_intents AS p
WHERE p.id = ANY ($1::uuid[])

-- name: check_transactions
-- Likewise their transactions, oldest first. $1 intent ids.
SELECT t.intent_id, t.id, t.type, t.amount_minor, t.final_capture
FROM transactions AS t
WHERE t.intent_id = ANY ($1::uuid[])
ORDER BY t.intent_id, t.id

-- name: check_attempts
-- Likewise their attempts, and whether store-and-forward has them. $1 intent ids.
SELECT
    a.intent_id, a.id, a.transaction_id, a.kind, a.network, a.rrn,
    EXISTS (SELECT FROM store_and_forward AS s WHERE s.attempt_id = a.id)
FROM attempts AS a
WHERE a.intent_id = ANY ($1::uuid[])
ORDER BY a.intent_id, a.id

-- name: check_outcomes
-- Likewise their outcomes. $1 intent ids.
SELECT
    o.intent_id, o.attempt_id, o.transaction_id, o.phase, o.result, o.from_status, o.to_status,
    o.intent_version, o.approved_minor, o.at
FROM outcomes AS o
WHERE o.intent_id = ANY ($1::uuid[])
ORDER BY o.intent_id, o.intent_version, o.phase, o.attempt_id

-- name: check_postings
-- Likewise their postings. $1 intent ids.
SELECT
    b.intent_id, b.transaction_id, b.kind, b.amount_minor, b.debit_account, b.credit_account,
    b.currency, b.live
FROM postings AS b
WHERE b.intent_id = ANY ($1::uuid[])

-- name: open_invariant_exception
-- Tell people of a payment, or of all books, that broke a rule: once while it is open. $1 kind,
-- $2 intent or NULL, $3 transaction or NULL, $4 detail, whose `rule` names it.
INSERT INTO exceptions (kind, intent_id, transaction_id, detail)
SELECT $1::text, $2::uuid, $3::uuid, ($4::text)::jsonb
WHERE NOT EXISTS (
    SELECT FROM exceptions AS e
    WHERE e.closed_at IS NULL AND e.kind = $1::text
        AND e.intent_id IS NOT DISTINCT FROM $2::uuid
        AND e.transaction_id IS NOT DISTINCT FROM $3::uuid
        AND e.detail ->> 'rule' = ($4::text)::jsonb ->> 'rule'
)
