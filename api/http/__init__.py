"""An HTTP/1.1 server for small JSON answers: httptools parses, Trio waits, nothing else between.

`parser` and `answer` are sans-IO, `tls` is a filter over bytes. `connection` is one socket and what
it owes, `exchange` what a handler is given, `readiness` tells which sockets can be read, `server`
accepts, sweeps and drains. What a request means is the business of the handler that `server` is
given; ADR 0002 says why this is not an off-the-shelf server.
"""
