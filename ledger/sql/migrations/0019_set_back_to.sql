-- How far a ledger can have gone along its timeline when it was set back. Payments never wait, so
-- its WAL has grown past what was lost by the time an operator agrees to a repair.

ALTER TABLE relays ADD COLUMN set_back_to pg_lsn;

COMMENT ON COLUMN relays.set_back_to IS
    'how far the server''s WAL was at most, when it last started and when the finding was first made';
