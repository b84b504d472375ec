#!/usr/bin/env bash
# Puts the jars of Apache Kafka into a folder, by requirements/kafka.xml; installs Java 17 and Maven
# where they are missing. Does nothing where all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
jars=$1

java_is_good() { java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])'; }

if ! java_is_good || ! command -v mvn >/dev/null; then
  [ "$(id -u)" = 0 ] || { echo "make test-kafka needs Java 17 or newer and Maven" >&2; exit 1; }
  echo "turnout: installing Java and Maven ..." >&2
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openjdk-17-jre-headless maven >/dev/null
  java_is_good || { echo "there is no Java 17 or newer, also after installing it" >&2; exit 1; }
fi

check() { (cd "$jars" && sha256sum --check --quiet --strict) <requirements/kafka.sha256; }

if ! check >/dev/null 2>&1; then
  echo "turnout: fetching the jars of Apache Kafka into $jars/ ..." >&2
  rm -rf "$jars"
  mvn --quiet --batch-mode --file requirements/kafka.xml dependency:copy-dependencies \
    -DoutputDirectory="$PWD/$jars" >&2
  check || { echo "the jars are not those of requirements/kafka.sha256" >&2; exit 1; }
fi
