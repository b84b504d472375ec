-- The networks' settlement dates as their cutovers told them, and how each day's totals compared.

CREATE TABLE settlement_days (
    network     text        NOT NULL,
    settles_on  date        NOT NULL,
    began_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (network, settles_on)
);
COMMENT ON TABLE settlement_days IS 'DE 15 by network; the day that began last is the present one';

CREATE TABLE settlement_balances (
    network     text        NOT NULL,
    settles_on  date        NOT NULL,
    currency    text        NOT NULL,
    compared_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    in_balance  boolean     NOT NULL,
    PRIMARY KEY (network, settles_on, currency)
);
COMMENT ON TABLE settlement_balances IS
    'what networks answered to our totals (0510); out of balance has an exception besides';

GRANT SELECT, INSERT, UPDATE ON settlement_days, settlement_balances TO turnout_switch;
GRANT SELECT ON settlement_days, settlement_balances TO turnout_reader;
