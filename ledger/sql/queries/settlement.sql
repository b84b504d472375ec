-- What some outcomes of commit 2 bring with them: further statements of its transaction, run only
-- for batches that have such rows. Each takes those rows whose outcome this very transaction has
-- written (its xmin), so that an outcome that did not advance, or that an earlier run wrote, brings
-- nothing.

-- name: open_verifications
-- Begin to look into doubts. $1 switch, $2 epoch, then intent ids, attempt ids, first inquiries,
-- ends of the windows.
INSERT INTO verifications (
    attempt_id, intent_id, transaction_id, due_at, window_ends_at, epoch, owner, network
)
SELECT
    r.attempt_id, r.intent_id, a.transaction_id, r.due_at, r.window_ends_at, $2::integer,
    $1::text, a.network
FROM unnest($3::uuid[], $4::uuid[], $5::timestamptz[], $6::timestamptz[])
    AS r (intent_id, attempt_id, due_at, window_ends_at)
CROSS JOIN LATERAL (
    SELECT x.phase FROM outcomes AS x
    WHERE x.intent_id = r.intent_id AND x.attempt_id = r.attempt_id AND x.phase = 1
        AND x.xmin = pg_current_xact_id()::xid
    LIMIT 1
) AS o
CROSS JOIN LATERAL (
    SELECT y.transaction_id, y.network FROM attempts AS y
    WHERE y.intent_id = r.intent_id AND y.id = r.attempt_id
    LIMIT 1
) AS a

-- name: close_verifications
-- Stop looking into doubts that a late answer has ended. $1 intent ids, $2 attempt ids.
DELETE FROM verifications AS v
USING unnest($1::uuid[], $2::uuid[]) AS r (intent_id, attempt_id)
CROSS JOIN LATERAL (
    SELECT x.phase FROM outcomes AS x
    WHERE x.intent_id = r.intent_id AND x.attempt_id = r.attempt_id AND x.phase = 2
        AND x.xmin = pg_current_xact_id()::xid
    LIMIT 1
) AS o
WHERE v.attempt_id = r.attempt_id

-- name: expire_authorizations
-- Look at authorized intents again when their capture time is over. $1 intent ids, $2 attempt ids,
-- $3 phases, $4 instants.
INSERT INTO intent_expiry (due_at, intent_id)
SELECT r.capture_before, r.intent_id
FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::timestamptz[])
    AS r (intent_id, attempt_id, phase, capture_before)
CROSS JOIN LATERAL (
    SELECT x.phase FROM outcomes AS x
    WHERE x.intent_id = r.intent_id AND x.attempt_id = r.attempt_id AND x.phase = r.phase
        AND x.xmin = pg_current_xact_id()::xid
        AND x.intent_status = 'authorized'
    LIMIT 1
) AS o
ON CONFLICT DO NOTHING

-- name: remember_settled_declines
-- $1 intent ids, $2 attempt ids, $3 phases, $4 classes.
INSERT INTO declines (at, attempt_id, merchant_id, fingerprint, network, class)
SELECT o.at, r.attempt_id, p.merchant_id, t.fingerprint, a.network, r.class
FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[])
    AS r (intent_id, attempt_id, phase, class)
CROSS JOIN LATERAL (
    SELECT x.at, x.transaction_id FROM outcomes AS x
    WHERE x.intent_id = r.intent_id AND x.attempt_id = r.attempt_id AND x.phase = r.phase
        AND x.xmin = pg_current_xact_id()::xid
    LIMIT 1
) AS o
CROSS JOIN LATERAL (
    SELECT y.network FROM attempts AS y
    WHERE y.intent_id = r.intent_id AND y.id = r.attempt_id
    LIMIT 1
) AS a
CROSS JOIN LATERAL (
    SELECT z.fingerprint FROM transactions AS z
    WHERE z.intent_id = r.intent_id AND z.id = o.transaction_id AND z.fingerprint IS NOT NULL
    LIMIT 1
) AS t
CROSS JOIN LATERAL (
    SELECT q.merchant_id FROM payment_intents AS q WHERE q.id = r.intent_id LIMIT 1
) AS p

-- name: record_completions
-- Attempt and advice of the message that completes a charge. $1 switch, $2 epoch, then intent ids,
-- attempt ids and phases of the charges, attempt ids of the completions, MTIs, STANs, DE 7s,
-- instants when each is due again, approved amounts (0 = all).
WITH completed AS (
    INSERT INTO attempts (
        owner, epoch, intent_id, id, transaction_id, amount_minor, deadline_at, network,
        acquirer_id, mti, stan, rrn, de7, currency, kind
    )
    SELECT
        $1::text, $2::integer, r.intent_id, r.id, a.transaction_id,
        coalesce(nullif(r.approved_minor, 0), a.amount_minor), r.due_at, a.network,
        a.acquirer_id, r.mti, r.stan, a.rrn, r.de7, a.currency, 'completion'
    FROM unnest(
        $3::uuid[], $4::uuid[], $5::smallint[], $6::uuid[], $7::text[], $8::text[], $9::text[],
        $10::timestamptz[], $11::bigint[]
    ) AS r (intent_id, attempt_id, phase, id, mti, stan, de7, due_at, approved_minor)
    CROSS JOIN LATERAL (
        SELECT x.phase FROM outcomes AS x
        WHERE x.intent_id = r.intent_id AND x.attempt_id = r.attempt_id AND x.phase = r.phase
            AND x.xmin = pg_current_xact_id()::xid
        LIMIT 1
    ) AS o
    CROSS JOIN LATERAL (
        SELECT * FROM attempts AS y
        WHERE y.intent_id = r.intent_id AND y.id = r.attempt_id
        LIMIT 1
    ) AS a
    RETURNING intent_id, id, transaction_id, deadline_at, network
)
INSERT INTO store_and_forward (
    owner, epoch, attempt_id, intent_id, transaction_id, due_at, repeats, network, kind
)
SELECT
    $1::text, $2::integer, c.id, c.intent_id, c.transaction_id, c.deadline_at, 1, c.network,
    'completion'
FROM completed AS c

-- name: acknowledge_advices
-- Record that the network has taken completions and releases, and take them out of the queue; no
-- intent is locked, for none of them moves one. $1 switch, $2 epoch, then one array per column, in
-- order of the attempts' ids; settlement dates are days since 2000. Advices that are not in the
-- queue are left alone, and where the lease has a newer epoch all are.
WITH waiting AS MATERIALIZED (
    SELECT s.attempt_id
    FROM store_and_forward AS s
    WHERE s.attempt_id = ANY ($3::uuid[]) AND s.kind IN ('completion', 'release')
        AND EXISTS (
            SELECT FROM switch_leases AS l WHERE l.switch = $1::text AND l.epoch = $2::integer
        )
    ORDER BY s.attempt_id
    FOR UPDATE
),
dropped AS (
    DELETE FROM store_and_forward AS s
    USING waiting AS w
    WHERE s.attempt_id = w.attempt_id
    RETURNING s.attempt_id, s.intent_id, s.transaction_id, s.repeats
)
INSERT INTO outcomes (
    owner, epoch, intent_id, attempt_id, transaction_id, request_id, at, intent_version, phase,
    actor, result, from_status, to_status, intent_status, response_code, approval_code, settles_on,
    sends
)
SELECT
    $1::text, $2::integer, d.intent_id, d.attempt_id, d.transaction_id, t.request_id, r.at,
    p.version, 1, r.actor, 'approved', 'succeeded', 'succeeded', p.status, r.response_code,
    r.approval_code, date '2000-01-01' + r.settles_on, d.repeats
FROM unnest($3::uuid[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::integer[])
    AS r (attempt_id, at, actor, response_code, approval_code, settles_on)
JOIN dropped AS d ON d.attempt_id = r.attempt_id
CROSS JOIN LATERAL (
    SELECT q.version, q.status FROM payment_intents AS q WHERE q.id = d.intent_id LIMIT 1
) AS p
CROSS JOIN LATERAL (
    SELECT x.request_id FROM transactions AS x
    WHERE x.intent_id = d.intent_id AND x.id = d.transaction_id
    LIMIT 1
) AS t
ON CONFLICT DO NOTHING

-- name: find_acknowledged
-- Which of these attempts have a first result. $1 intent ids, $2 attempt ids.
SELECT o.attempt_id
FROM unnest($1::uuid[], $2::uuid[]) AS r (intent_id, attempt_id)
CROSS JOIN LATERAL (
    SELECT x.attempt_id FROM outcomes AS x
    WHERE x.intent_id = r.intent_id AND x.attempt_id = r.attempt_id AND x.phase = 1
    LIMIT 1
) AS o
