#!/usr/bin/env bash
# What `make test-browser` needs beside Python: Debian's Chromium, Node with npm, and the packages of
# the hosted fields' lock file. Installs what is missing, as root, or says what is.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
[ -x /usr/bin/chromium ] || missing+=(chromium)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] || { echo "make test-browser needs ${missing[*]}: apt-get install ${missing[*]}" >&2; exit 1; }
  echo "turnout: installing ${missing[*]} ..." >&2
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
fi
/usr/bin/chromium --version >&2
node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' \
  || { echo "make test-browser needs Node 20 or newer as \`node\`" >&2; exit 1; }
npm --prefix api/checkout/js ci --silent >&2
