-- The relay: what it reads, what it says of itself, what operators tell it.

-- Nothing of ours deletes or empties these tables. Whoever does it all the same leaves a trace in
-- the stream.
ALTER PUBLICATION turnout_events SET (publish = 'insert, update, delete, truncate');

CREATE TABLE relays (
    slot               text        PRIMARY KEY,
    state              text        NOT NULL,
    since              timestamptz NOT NULL DEFAULT clock_timestamp(),
    finding            text        NOT NULL DEFAULT '',
    case_id            uuid,
    approved_case      uuid,
    system_identifier  text        NOT NULL DEFAULT '',
    timeline           integer     NOT NULL DEFAULT 0,
    mark_lsn           pg_lsn      NOT NULL DEFAULT '0/0',
    next_offset        bigint      NOT NULL DEFAULT 0,
    CONSTRAINT relays_state CHECK (state IN ('streaming', 'repairing', 'refused')),
    CONSTRAINT relays_refused CHECK ((state = 'refused') = (case_id IS NOT NULL))
);

COMMENT ON TABLE relays IS 'How each relay stands, written when that changes; the stream''s mark
is the truth, this is what operators look at';
COMMENT ON COLUMN relays.finding IS 'what is, or was, out of order; ledger.relay.starting.Finding';
COMMENT ON COLUMN relays.case_id IS 'names what was found; an approval is for that and nothing else';

ALTER TABLE operator_actions
    DROP CONSTRAINT operator_actions_action,
    ADD CONSTRAINT operator_actions_action CHECK (
        action IN ('saf_retry', 'saf_resolve', 'exception_close', 'relay_repair')
    );

CREATE FUNCTION operator_relay_repair(relay text, about uuid, operator text, note text)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE relays SET approved_case = about
    WHERE slot = relay AND state = 'refused' AND case_id = about;
    IF NOT FOUND THEN
        RETURN 'not_refused';
    END IF;
    INSERT INTO operator_actions (operator, action, note) VALUES (operator, 'relay_repair', note);
    RETURN '';
END
$$;

REVOKE ALL ON FUNCTION operator_relay_repair FROM PUBLIC;
GRANT EXECUTE ON FUNCTION operator_relay_repair TO turnout_admin;
GRANT SELECT ON relays TO turnout_admin, turnout_reader;

-- REPLICATION lets a session choose its plug-in, and one that is not ours shows every column of
-- every table. So the relay's role is the relay's alone; it may read what it publishes, for repairs.
GRANT USAGE ON SCHEMA public TO turnout_relay;
GRANT SELECT ON payment_intents, attempts, outcomes TO turnout_relay;
GRANT SELECT (
    intent_id, id, request_id, amount_minor, created_at, intent_version, card_exp_year,
    card_exp_month, final_capture, type, currency, card_brand, card_last4
) ON transactions TO turnout_relay;
GRANT SELECT, INSERT, UPDATE ON relays TO turnout_relay;
GRANT SELECT, INSERT ON exceptions TO turnout_relay;
