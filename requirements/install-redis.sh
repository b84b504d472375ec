#!/usr/bin/env bash
# Installs Debian's redis-server where there is none; make test-redis starts servers of its own.
set -euo pipefail

command -v redis-server >/dev/null && exit
[ "$(id -u)" = 0 ] || { echo "make test-redis needs redis-server" >&2; exit 1; }
echo "turnout: installing redis-server ..." >&2
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null
command -v redis-server >/dev/null || { echo "there is no redis-server, also after installing it" >&2; exit 1; }
