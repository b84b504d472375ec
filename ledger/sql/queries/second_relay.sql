-- name: drop_unused_relay_slot
-- Remove a slot that no session uses. $1 its name. No row where there is none.
SELECT pg_drop_replication_slot(s.slot_name)
FROM pg_replication_slots AS s
WHERE s.slot_name = $1::text AND NOT s.active AND s.slot_type = 'logical'
    AND s.plugin = 'pgoutput' AND s.database = current_database()
