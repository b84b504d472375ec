"""What can be set for the archive."""

from __future__ import annotations

from chassis.settings.section import Section


class Archive(Section, frozen=True):
    """Where sealed segments of the event stream are copied to. Credentials: AWS_… variables."""

    url: str = ""  # a folder, or s3://bucket/prefix; empty: <data_dir>/archive
    s3_endpoint: str = ""  # of an S3 that is not Amazon's: https://host:port
    s3_region: str = ""  # empty: AWS_REGION, or us-east-1
    s3_timeout_s: float = 60.0  # of one request: an object of 64 MiB over a slow line
    s3_retries: int = (
        3  # of one request, a second apart at most; then the run ends, and is repeated
    )
    # What `archive run` removes once it is archived, in days; 0: never.
    stream_days: float = 0.0  # that an archived segment stays in the stream all the same
    database_days: float = 0.0  # since the last change that a month of payments stays in the tables
    grace_days: float = 7.0  # that what a dropped month relies on must have been in the archive
    retention_days: float = 0.0  # that a segment stays in the archive: laws and card schemes say
