-- name: relay_slot
-- A replication slot as the server shows it; no row where there is none. $1 its name.
SELECT
    coalesce(s.confirmed_flush_lsn, '0/0'),
    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::bigint,
    s.slot_type = 'logical' AND s.plugin = 'pgoutput' AND NOT s.temporary
        AND s.database = current_database(),
    CASE WHEN s.wal_status = 'lost'
        THEN coalesce(to_jsonb(s) ->> 'invalidation_reason', 'wal_removed') ELSE '' END,
    coalesce(s.wal_status, ''),
    s.active
FROM pg_replication_slots AS s
WHERE s.slot_name = $1::text

-- name: relay_flushed
-- How far the server's WAL is on disk.
SELECT pg_current_wal_flush_lsn()

-- name: relay_heartbeat
-- Write a word into the WAL and have it on disk: an idle slot moves, and a dead one shows.
SELECT pg_logical_emit_message(false, 'turnout.heartbeat', '', true)

-- name: relay_heartbeat_16
-- The same for servers before 17, which flush at the end of a transaction only.
SELECT pg_logical_emit_message(true, 'turnout.heartbeat', '')

-- name: relay_server_version
-- The server's version as a number, such as 180006.
SELECT current_setting('server_version_num')::integer

-- name: relay_pinned_share
-- How much WAL a relay's slot pins at most, and how much it may. $1 the slots' names.
SELECT
    coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)), 0)::bigint,
    pg_size_bytes(current_setting('max_slot_wal_keep_size'))
FROM pg_replication_slots AS s
WHERE s.slot_name = ANY ($1::text[])

-- name: relay_state
-- How the relay says that it stands; no row where it has never started. $1 its slot.
SELECT
    r.state, r.since, r.finding, r.case_id, r.approved_case, r.system_identifier, r.timeline,
    r.mark_lsn, r.next_offset
FROM relays AS r
WHERE r.slot = $1::text

-- name: set_relay_state
-- Note how the relay stands. $1 slot, $2 state, $3 finding, $4 case or NULL, $5 system identifier,
-- $6 timeline, $7 mark, $8 next offset. An operator's word about the same case stays. Up to where
-- the ledger can have been set back, if it was: a server that starts on an older copy makes a
-- checkpoint before anything else, and while the finding stays the first word about it counts.
INSERT INTO relays AS r (
    slot, state, finding, case_id, system_identifier, timeline, mark_lsn, next_offset, set_back_to
)
SELECT
    $1::text, $2::text, $3::text, $4::uuid, $5::text, $6::integer, $7::pg_lsn, $8::bigint,
    c.redo_lsn
FROM pg_control_checkpoint() AS c
ON CONFLICT (slot) DO UPDATE SET
    state = excluded.state,
    since = clock_timestamp(),
    finding = excluded.finding,
    case_id = excluded.case_id,
    approved_case = CASE WHEN excluded.state = 'streaming' THEN NULL ELSE r.approved_case END,
    system_identifier = excluded.system_identifier,
    timeline = excluded.timeline,
    mark_lsn = excluded.mark_lsn,
    next_offset = excluded.next_offset,
    set_back_to = CASE
        WHEN (r.finding, r.system_identifier, r.timeline, r.mark_lsn)
            = (excluded.finding, excluded.system_identifier, excluded.timeline, excluded.mark_lsn)
        THEN least(r.set_back_to, excluded.set_back_to)
        ELSE excluded.set_back_to
    END
RETURNING r.set_back_to

-- name: open_relay_exception
-- Open an exception about the stream unless one with the same detail is open. $1 kind, $2 detail.
INSERT INTO exceptions (kind, detail)
SELECT $1::text, $2::jsonb
WHERE NOT EXISTS (
    SELECT FROM exceptions AS e
    WHERE e.kind = $1::text AND e.detail = $2::jsonb AND e.closed_at IS NULL
)

-- name: approve_relay_repair
-- An operator's word that the relay may repair. $1 slot, $2 case, $3 operator, $4 note. Empty, or
-- why not.
SELECT operator_relay_repair($1::text, $2::uuid, $3::text, $4::text)

-- name: published_tables
-- The tables of a publication with what the WAL's description of each holds. $1 the publication.
SELECT
    c.oid, c.relname, c.relreplident::text, a.attname, a.atttypid, a.atttypmod,
    coalesce(a.attnum = ANY (i.indkey), false)
FROM pg_publication_tables AS t
JOIN pg_class AS c ON c.relname = t.tablename AND c.relnamespace = t.schemaname::regnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = ANY (t.attnames)
LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
WHERE t.pubname = $1::text AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum

-- name: repair_window_end
-- The id of the last of the next so many payment intents, or NULL when no more than that follow.
-- $1 after this id, $2 how many.
SELECT i.id FROM payment_intents AS i WHERE i.id > $1::uuid ORDER BY i.id OFFSET $2::bigint LIMIT 1

-- name: approved_by
-- Whose word it is that a relay may repair, and what they said. $1 its slot.
SELECT r.approved_by, r.approved_note FROM relays AS r WHERE r.slot = $1::text

-- name: note_restore
-- Note that the ledger was set back. $1 id, $2 the first offset that is lost, $3 behind the last,
-- $4 timeline before, $5 timeline, $6 system identifier, $7 operator, $8 note.
INSERT INTO restores (
    id, lost_from, lost_until, timeline_before, timeline, system_identifier, operator, note
)
VALUES (
    $1::uuid, $2::bigint, $3::bigint, $4::integer, $5::integer, $6::text, $7::text, $8::text
)
ON CONFLICT (id) DO NOTHING

-- name: restore_is_noted
-- Whether it was noted already that the ledger was set back. $1 the id of that.
SELECT EXISTS (SELECT FROM restores AS r WHERE r.id = $1::uuid)

-- name: raise_versions
-- Raise the versions of payments behind lost ones. $1 intents, $2 the newest version of each that is
-- lost. How many of them there are.
SELECT raise_versions($1::uuid[], $2::integer[])

-- name: lost_ranges
-- Offsets of the stream that count no more since the ledger was set back.
SELECT r.lost_from, r.lost_until FROM restores AS r
WHERE NOT EXISTS (SELECT FROM former_restores AS f WHERE f.id = r.id)
ORDER BY r.lost_until, r.lost_from

-- name: ledger_is_settled
-- Whether a relay goes along with the ledger as it is now: it does not refuse, does not take note of
-- what a ledger that was set back has lost, and is not of another timeline. And whether the WAL goes
-- as far as a commit that the stream holds of it: a server that starts on an older copy has a row of
-- before, until the relay has looked. $1 its slot, $2 whose WAL the commit is in, $3 its timeline,
-- $4 the commit.
SELECT
    coalesce(bool_and(
        r.state <> 'refused'
        AND NOT (r.state = 'repairing' AND r.finding IN ('stream_ahead', 'other_timeline'))
        AND r.timeline IN (0, w.timeline)
    ), true)
    AND NOT ($2::text = w.system_identifier AND $3::integer = w.timeline AND $4::pg_lsn >= w.flushed)
FROM (
    SELECT
        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer,
        pg_current_wal_flush_lsn(),
        c.system_identifier::text
    FROM pg_control_system() AS c
) AS w (timeline, flushed, system_identifier)
LEFT JOIN relays AS r ON r.slot = $1::text
GROUP BY w.timeline, w.flushed, w.system_identifier
