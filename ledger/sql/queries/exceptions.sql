-- name: list_exceptions
-- A page of exceptions, oldest first. $1 only numbers above this one, $2 closed ones as well,
-- $3 rows at most.
SELECT
    e.id, e.kind, e.network, e.intent_id, e.transaction_id, e.attempt_id, e.detail, e.opened_at,
    e.closed_at, e.closed_by, e.note
FROM exceptions AS e
WHERE e.id > $1::bigint AND ($2::boolean OR e.closed_at IS NULL)
ORDER BY e.id
LIMIT $3::bigint

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

-- name: close_exception
-- Close an open exception. $1 number, $2 operator, $3 note. Empty, or why not.
SELECT operator_close_exception($1::bigint, $2::text, $3::text)
