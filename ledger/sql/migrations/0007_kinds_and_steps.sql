-- Messages that follow a charge: what each is for, and the steps that their outcomes take.

ALTER TABLE attempts
    ADD COLUMN intent_version integer,
    ADD COLUMN kind text NOT NULL DEFAULT 'request',
    ADD CONSTRAINT attempts_kind CHECK (
        kind IN ('request', 'completion', 'reversal', 'release', 'inquiry')
    );

COMMENT ON COLUMN attempts.intent_version IS
    'of the intent after the commit that wrote this; null where that was commit 1, or changed none';
COMMENT ON COLUMN attempts.kind IS
    'what the message is to its transaction; completion: the 0220 behind an automatic charge';

-- An outcome may leave its transaction where it stands: an inquiry's own result, the
-- acknowledgment of a completion, a declined attempt that another one follows. Such a remark is a
-- first result, and while a transaction is pending only a refusal leaves it so.
ALTER TABLE outcomes
    ADD COLUMN settles_on date,
    ADD COLUMN sends integer,
    DROP CONSTRAINT outcomes_phase_1,
    DROP CONSTRAINT outcomes_step,
    ADD CONSTRAINT outcomes_phase_1 CHECK (phase <> 1 OR (
        result IN ('approved', 'partial', 'declined', 'not_sent', 'unknown')
        AND from_status IN (
            'pending', 'pending_verification', 'reversing', 'succeeded', 'failed', 'reversed'
        )
    )),
    ADD CONSTRAINT outcomes_step CHECK (CASE from_status
        WHEN 'pending' THEN to_status IN (
            'pending', 'succeeded', 'failed', 'pending_verification', 'reversing'
        )
        WHEN 'pending_verification' THEN to_status IN (
            'pending_verification', 'succeeded', 'failed', 'reversing'
        )
        WHEN 'reversing' THEN to_status IN ('reversing', 'reversed')
        WHEN 'succeeded' THEN to_status IN ('succeeded')
        WHEN 'failed' THEN to_status IN ('failed')
        WHEN 'reversed' THEN to_status IN ('reversed')
        ELSE false
    END),
    ADD CONSTRAINT outcomes_remark CHECK (from_status <> to_status OR (
        phase = 1 AND (from_status <> 'pending' OR result IN ('declined', 'not_sent'))
    ));

COMMENT ON COLUMN outcomes.sends IS
    'how often its message had been sent, of those that are repeated; their counters are gone then';
COMMENT ON COLUMN outcomes.settles_on IS 'DE 15 with its year: the network''s settlement date';

-- Totals by settlement date read a few days of it. A block range index costs an insert next to
-- nothing, and outcomes come in the order of their instants.
CREATE INDEX outcomes_at ON outcomes USING brin (at);

-- What a transaction is now: its row and the latest outcome that moved it. While a reversal of it
-- is open it is `reversing`; one that is over stays what it was.
CREATE OR REPLACE VIEW transaction_states AS
SELECT
    t.id AS transaction_id,
    t.intent_id,
    t.type,
    CASE
        WHEN latest.to_status IN ('succeeded', 'failed', 'reversed') THEN latest.to_status
        WHEN EXISTS (
            SELECT FROM attempts AS a
            WHERE a.intent_id = t.intent_id AND a.transaction_id = t.id AND a.kind = 'reversal'
                AND NOT EXISTS (
                    SELECT FROM outcomes AS r
                    WHERE r.intent_id = a.intent_id AND r.attempt_id = a.id
                )
        ) THEN 'reversing'
        ELSE coalesce(latest.to_status, 'pending')
    END AS status,
    coalesce(latest.approved_minor, t.amount_minor) AS amount_minor,
    t.currency,
    coalesce(latest.response_code, '') AS response_code,
    coalesce(latest.approval_code, '') AS approval_code,
    coalesce(latest.decline_code, '') AS decline_code,
    coalesce(latest.advice, '') AS advice,
    coalesce(t.card_brand, '') AS card_brand,
    coalesce(t.card_last4, '') AS card_last4,
    coalesce(t.card_exp_month, 0) AS card_exp_month,
    coalesce(t.card_exp_year, 0) AS card_exp_year,
    t.created_at,
    coalesce(latest.at, t.created_at) AS updated_at,
    t.final_capture
FROM transactions AS t
LEFT JOIN LATERAL (
    SELECT
        o.to_status, o.approved_minor, o.response_code, o.approval_code, o.decline_code, o.advice,
        o.at
    FROM outcomes AS o
    WHERE o.intent_id = t.intent_id AND o.transaction_id = t.id AND o.from_status <> o.to_status
    ORDER BY o.intent_version DESC, o.phase DESC, o.attempt_id DESC
    LIMIT 1
) AS latest ON true;
