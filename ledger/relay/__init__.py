"""The relay: reads the database's WAL and appends every published change to the stream, once."""
