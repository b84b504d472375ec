-- name: know_switch
-- Make sure that a switch has a lease row; $1 switch.
INSERT INTO switch_leases (switch, epoch, expires_at)
VALUES ($1::text, 1, now())
ON CONFLICT DO NOTHING

-- name: lock_lease
-- Wait for the commits of the epoch before: they hold the row FOR KEY SHARE, which a plain update
-- would pass. $1 switch.
SELECT epoch FROM switch_leases WHERE switch = $1::text FOR UPDATE

-- name: raise_epoch
-- Begin an epoch; whoever commits under an older one is refused from now on. $1 switch,
-- $2 milliseconds to live.
UPDATE switch_leases
SET epoch = epoch + 1, expires_at = now() + $2::integer * interval '1 millisecond'
WHERE switch = $1::text
RETURNING epoch, recover_from

-- name: raise_epoch_of_silent
-- As raise_epoch, but only while nobody has renewed or begun an epoch since the lease was read.
-- $1 switch, $2 milliseconds to live, $3 epoch and $4 end as read.
UPDATE switch_leases
SET epoch = epoch + 1, expires_at = now() + $2::integer * interval '1 millisecond'
WHERE switch = $1::text AND epoch = $3::integer AND expires_at = $4::timestamptz
RETURNING epoch, recover_from

-- name: renew_leases
-- A heartbeat: the leases of one process live on. It passes commits, which hold the rows FOR KEY
-- SHARE. A lease that has a newer epoch is not returned. $1 milliseconds to live, then switches,
-- epochs, and ids below which no attempt is open.
UPDATE switch_leases AS s
SET expires_at = now() + $1::integer * interval '1 millisecond',
    recover_from = greatest(s.recover_from, h.recover_from)
FROM unnest($2::text[], $3::integer[], $4::uuid[]) AS h (switch, epoch, recover_from)
WHERE s.switch = h.switch AND s.epoch = h.epoch
RETURNING s.switch

-- name: read_leases
-- Every lease there is.
SELECT switch, epoch, expires_at, recover_from FROM switch_leases ORDER BY switch

-- name: note_recovered
-- Remember that no attempt of this switch below $3 is without an outcome. $1 switch, $2 epoch.
UPDATE switch_leases SET recover_from = $3::uuid
WHERE switch = $1::text AND epoch = $2::integer AND recover_from < $3::uuid
RETURNING recover_from

-- name: lowest_open
-- The id below which no attempt of an owner is without an outcome. An attempt in store-and-forward
-- does not count: its row there carries it on. $1 owner, $2 from this id on, $3 up to this one,
-- which is answered if all is settled, $4 attempts to look at; past as many it answers the last.
WITH seen AS MATERIALIZED (
    SELECT a.id, a.intent_id FROM attempts AS a
    WHERE a.owner = $1::text AND a.id >= $2::uuid AND a.id < $3::uuid
    ORDER BY a.id
    LIMIT $4::bigint
)
SELECT coalesce(
    (
        SELECT s.id
        FROM seen AS s
        LEFT JOIN LATERAL (
            SELECT y.phase FROM outcomes AS y
            WHERE y.intent_id = s.intent_id AND y.attempt_id = s.id
            LIMIT 1
        ) AS o ON true
        WHERE o.phase IS NULL
            AND NOT EXISTS (SELECT FROM store_and_forward AS f WHERE f.attempt_id = s.id)
        ORDER BY s.id
        LIMIT 1
    ),
    (SELECT s.id FROM seen AS s ORDER BY s.id LIMIT 1 OFFSET $4::bigint - 1),
    $3::uuid
) AS id
