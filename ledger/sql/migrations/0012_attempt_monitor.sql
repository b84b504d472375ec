-- What watches the stream for attempts that nobody finished runs in the relay's process.

GRANT SELECT, INSERT, UPDATE ON stream_cursors TO turnout_relay;
