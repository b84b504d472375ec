-- name: list_exceptions
-- A page of exceptions, oldest first. $1 only numbers above this one, $2 closed ones as well,
-- $3 rows at most, $4 only of this kind; empty is any.
SELECT
    e.id, e.kind, e.network, e.intent_id, e.transaction_id, e.attempt_id, e.detail, e.opened_at,
    e.closed_at, e.closed_by, e.note
FROM exceptions AS e
WHERE e.id > $1::bigint AND ($2::boolean OR e.closed_at IS NULL)
    AND $4::text IN ('', e.kind)
ORDER BY e.id
LIMIT $3::bigint

-- name: read_exception
-- One exception, closed or not. $1 number.
SELECT
    e.id, e.kind, e.network, e.intent_id, e.transaction_id, e.attempt_id, e.detail, e.opened_at,
    e.closed_at, e.closed_by, e.note
FROM exceptions AS e
WHERE e.id = $1::bigint

-- name: exception_message
-- The message that an exception is about; no row for one about none. $1 number.
SELECT a.kind, a.mti, a.acquirer_id, a.stan, a.rrn, a.de7, a.amount_minor, a.currency
FROM exceptions AS e
JOIN attempts AS a ON a.intent_id = e.intent_id AND a.id = e.attempt_id
WHERE e.id = $1::bigint

-- name: exception_advices
-- What its payment still owes to a network or waits for, oldest first. $1 number.
SELECT s.attempt_id, s.kind, s.repeats, s.manual, s.resolution
FROM exceptions AS e
JOIN store_and_forward AS s ON s.intent_id = e.intent_id
WHERE e.id = $1::bigint
ORDER BY s.attempt_id

-- name: exception_actions
-- What operators did about an exception, oldest first. $1 number.
SELECT o.at, o.operator, o.action, o.resolution, o.note
FROM operator_actions AS o
WHERE o.exception = $1::bigint
ORDER BY o.id

-- name: exceptions_about
-- What was opened about an attempt, closed ones too, oldest first. $1 attempt id.
SELECT
    e.id, e.kind, e.network, e.intent_id, e.transaction_id, e.attempt_id, e.detail, e.opened_at,
    e.closed_at, e.closed_by, e.note
FROM exceptions AS e
WHERE e.attempt_id = $1::uuid
ORDER BY e.id

-- name: count_exceptions
-- How many exceptions are open, by kind.
SELECT e.kind, count(*) FROM exceptions AS e WHERE e.closed_at IS NULL GROUP BY e.kind
ORDER BY e.kind

-- name: close_exception
-- Close an open exception. $1 number, $2 operator, $3 note. Empty, or why not.
SELECT operator_close_exception($1::bigint, $2::text, $3::text)
