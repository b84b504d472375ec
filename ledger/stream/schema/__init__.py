"""The JSON Schemas of events, one file a version."""
