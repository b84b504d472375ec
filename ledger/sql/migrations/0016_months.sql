-- Months of the payment tables that were dropped, because the archive has all that was in them.

CREATE TABLE archived_months (
    month        text        PRIMARY KEY,
    first_id     uuid        NOT NULL,
    end_id       uuid        NOT NULL,
    detached_at  timestamptz NOT NULL DEFAULT now(),
    dropped_at   timestamptz,
    operator     text        NOT NULL,
    CONSTRAINT archived_months_month CHECK (month ~ '^[0-9]{4}_[0-9]{2}$'),
    CONSTRAINT archived_months_ids CHECK (first_id < end_id),
    CONSTRAINT archived_months_operator CHECK (length(operator) BETWEEN 1 AND 48)
);

COMMENT ON TABLE archived_months IS
    'Written by the owner alone: turnout archive run. A month without dropped_at is being compared';
COMMENT ON COLUMN archived_months.end_id IS 'the lowest id of the month behind it';

-- What the postings of such a month came to, so that every account still folds.
CREATE TABLE carried_sums (
    month          text    NOT NULL,
    account        uuid    NOT NULL,
    debits_minor   bigint  NOT NULL,
    credits_minor  bigint  NOT NULL,
    PRIMARY KEY (month, account),
    CONSTRAINT carried_sums_sums CHECK (debits_minor >= 0 AND credits_minor >= 0)
);

GRANT SELECT ON archived_months, carried_sums TO turnout_reader, turnout_admin;
