-- The consumers of the event stream: how far each has come, and what it could not take in.

CREATE TABLE stream_cursors (
    consumer_group  text        NOT NULL,
    shard           integer     NOT NULL,
    partition       integer     NOT NULL,
    next_offset     bigint      NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, shard, partition),
    CONSTRAINT stream_cursors_group CHECK (consumer_group ~ '^[a-z][a-z0-9_]{0,62}$'),
    CONSTRAINT stream_cursors_expected CHECK (next_offset >= 0)
) WITH (fillfactor = 50);

COMMENT ON TABLE stream_cursors IS
    'Moved in the transaction of the effect: so an event has its effect once, whatever dies';
COMMENT ON CONSTRAINT stream_cursors_expected ON stream_cursors IS
    'violated on purpose (by -1) where the cursor is not where its mover left it';

CREATE TABLE stream_parked (
    consumer_group  text        NOT NULL,
    shard           integer     NOT NULL,
    partition       integer     NOT NULL,
    record_offset   bigint      NOT NULL,
    parked_at       timestamptz NOT NULL DEFAULT now(),
    retry_at        timestamptz,
    intent_id       uuid,
    tries           integer     NOT NULL DEFAULT 1,
    reason          text        NOT NULL,
    PRIMARY KEY (consumer_group, shard, partition, record_offset),
    CONSTRAINT stream_parked_reason CHECK (length(reason) BETWEEN 1 AND 500)
);

COMMENT ON TABLE stream_parked IS
    'Events that a consumer could not take in and went past; a row goes when its event is taken in';
COMMENT ON COLUMN stream_parked.retry_at IS 'an operator has asked for another try';

ALTER TABLE operator_actions
    DROP CONSTRAINT operator_actions_action,
    ADD CONSTRAINT operator_actions_action CHECK (
        action IN ('saf_retry', 'saf_resolve', 'exception_close', 'relay_repair', 'stream_retry')
    );

CREATE FUNCTION operator_stream_retry(
    of_group text, of_shard integer, of_partition integer, at_offset bigint, operator text,
    remark text
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE stream_parked SET retry_at = now()
    WHERE consumer_group = of_group AND shard = of_shard AND partition = of_partition
        AND record_offset = at_offset;
    IF NOT FOUND THEN
        RETURN 'not_parked';
    END IF;
    INSERT INTO operator_actions (operator, action, resolution, note)
    VALUES (operator, 'stream_retry', of_group || ' ' || at_offset, remark);
    RETURN '';
END
$$;

REVOKE ALL ON FUNCTION operator_stream_retry FROM PUBLIC;
GRANT EXECUTE ON FUNCTION operator_stream_retry TO turnout_admin;
GRANT SELECT ON stream_cursors, stream_parked TO turnout_admin, turnout_reader;
