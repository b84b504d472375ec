-- Restores: where the stream knows what the ledger, set back to a backup, has never heard of.

-- Published, and so in the stream and under the audit log's signature: whoever reads the stream is
-- told by itself which of its records count no more.
CREATE TABLE restores (
    id                 uuid        PRIMARY KEY,
    restored_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    lost_from          bigint      NOT NULL,
    lost_until         bigint      NOT NULL,
    timeline_before    integer     NOT NULL,
    timeline           integer     NOT NULL,
    system_identifier  text        NOT NULL,
    operator           text        NOT NULL,
    note               text        NOT NULL DEFAULT '',
    CONSTRAINT restores_lost CHECK (lost_from >= 0 AND lost_from <= lost_until)
);

COMMENT ON TABLE restores IS 'Insert-only. One row for each time the ledger was set back';
COMMENT ON COLUMN restores.id IS
    'a digest of cluster, timelines and lost_from: ledger.relay.restores';
COMMENT ON COLUMN restores.lost_from IS
    'offset in the stream of the first record that this ledger does not have';
COMMENT ON COLUMN restores.lost_until IS 'offset behind the last one: where the stream ended';

ALTER PUBLICATION turnout_events ADD TABLE restores;

CREATE TABLE former_restores (
    id  uuid PRIMARY KEY REFERENCES restores
);

COMMENT ON TABLE former_restores IS
    'Restores that were before the stream, lost, began anew: their offsets are not of that one';

-- Whose word it was that the relay may repair.
ALTER TABLE relays
    ADD COLUMN approved_by text NOT NULL DEFAULT '',
    ADD COLUMN approved_note text NOT NULL DEFAULT '';

CREATE OR REPLACE FUNCTION operator_relay_repair(
    relay text, about uuid, operator text, note text
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE relays SET approved_case = about, approved_by = operator, approved_note = note
    WHERE slot = relay AND state = 'refused' AND case_id = about;
    IF NOT FOUND THEN
        RETURN 'not_refused';
    END IF;
    INSERT INTO operator_actions (operator, action, note) VALUES (operator, 'relay_repair', note);
    RETURN '';
END
$$;

-- A payment that goes on after a restore must not reach a version that the stream has already, of a
-- change that is lost: its event would have that one's id. So its version goes on behind it.
CREATE FUNCTION raise_versions(intents uuid[], versions integer[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    raised  integer;
BEGIN
    UPDATE payment_intents AS p SET version = greatest(p.version, r.version) + 1
    FROM unnest(intents, versions) AS r (id, version)
    WHERE p.id = r.id;
    GET DIAGNOSTICS raised = ROW_COUNT;
    RETURN raised;
END
$$;

REVOKE ALL ON FUNCTION raise_versions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION raise_versions TO turnout_relay;
GRANT SELECT, INSERT ON restores, former_restores TO turnout_relay;
GRANT SELECT ON restores, former_restores TO turnout_postings, turnout_reader, turnout_admin;
GRANT SELECT ON relays TO turnout_postings;
-- A stream that begins anew has other offsets than those that were parked.
GRANT SELECT, DELETE ON stream_parked TO turnout_relay;
