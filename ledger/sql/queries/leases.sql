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
-- $2 seconds to live.
UPDATE switch_leases
SET epoch = epoch + 1, expires_at = now() + make_interval(secs => $2::integer)
WHERE switch = $1::text
RETURNING epoch, recover_from

-- name: note_recovered
-- Remember that no attempt of this switch below $3 is without an outcome. $1 switch, $2 epoch.
UPDATE switch_leases SET recover_from = $3::uuid
WHERE switch = $1::text AND epoch = $2::integer AND recover_from < $3::uuid
RETURNING recover_from
