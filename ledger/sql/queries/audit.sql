-- What `turnout audit verify db` asks: nothing that a reader may not know.

-- name: audited_columns
-- The columns of tables as far as this role may read them, in their order. $1 the publication,
-- $2 the tables' names besides those that it publishes. A table that is not there has no row.
SELECT
    c.relname, a.attname, a.atttypid, coalesce(a.attnum = ANY (i.indkey), false),
    EXISTS (
        SELECT FROM pg_publication_tables AS t
        WHERE t.pubname = $1::text AND t.schemaname = 'public' AND t.tablename = c.relname
    )
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid
LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    AND has_column_privilege(c.oid, a.attnum, 'SELECT')
    AND (
        c.relname = ANY ($2::text[])
        OR c.relname IN (
            SELECT t.tablename FROM pg_publication_tables AS t
            WHERE t.pubname = $1::text AND t.schemaname = 'public'
        )
    )
ORDER BY c.relname, a.attnum

-- name: audit_open_transactions
-- The transactions that write now. Each holds this lock until others see what it committed.
SELECT l.transactionid::text FROM pg_locks AS l
WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted

-- name: audit_snapshot
-- Take the transaction's snapshot; answer where the WAL ends behind everything that it shows.
SELECT pg_current_wal_insert_lsn()
