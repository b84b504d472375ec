-- One month of the five payment tables, made before it is needed.

CREATE FUNCTION lowest_id_at(instant timestamptz) RETURNS uuid
LANGUAGE sql STABLE STRICT
RETURN (lpad(to_hex(floor(extract(epoch FROM instant) * 1000)::bigint), 12, '0')
    || repeat('0', 20))::uuid;

COMMENT ON FUNCTION lowest_id_at IS 'The lowest UUIDv7 of an instant; ledger.ids.lowest_id_at';

-- Half of each page of payment_intents is kept free for updates: charges tend to come in the order
-- in which their intents were created, so that one commit changes every row of a page. With a
-- quarter free, half of those updates left their page and the table grew larger, not smaller.
--
-- ATTACH rather than CREATE … PARTITION OF: it lets readers and writers of the parent pass.
-- Runs as its owner, so that the switch can call it without owning tables.
CREATE FUNCTION ensure_partitions(first_instant timestamptz, months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent  text;
    month   timestamptz;
    leaf    text;
    made    integer := 0;
BEGIN
    IF months NOT BETWEEN 1 AND 24 THEN
        RAISE EXCEPTION 'months must lie between 1 and 24' USING ERRCODE = '22023';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('turnout.ensure_partitions'));
    FOR step IN 0 .. months - 1 LOOP
        month := (date_trunc('month', first_instant AT TIME ZONE 'UTC')
            + make_interval(months => step)) AT TIME ZONE 'UTC';
        FOREACH parent IN ARRAY ARRAY[
            'payment_intents', 'payment_intent_details', 'transactions', 'attempts', 'outcomes'
        ] LOOP
            leaf := parent || to_char(month AT TIME ZONE 'UTC', '_YYYY_MM');
            CONTINUE WHEN to_regclass(leaf) IS NOT NULL;
            EXECUTE format(
                'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS) %s',
                leaf, parent,
                CASE WHEN parent = 'payment_intents' THEN 'WITH (fillfactor = 50)' ELSE '' END);
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                parent, leaf, lowest_id_at(month),
                lowest_id_at(((month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC'));
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

REVOKE ALL ON FUNCTION ensure_partitions FROM PUBLIC;

SELECT ensure_partitions(now(), 3);
