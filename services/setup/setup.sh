#!/bin/sh
# Sets up what this project needs: node modules (a Node 24 among them), a nats-server, and with --test the tools that
# tests take from the distribution. Each part looks before it acts, so a second run is quick and needs no network.
set -eu
cd "$(dirname "$0")/../.."
cache=.cache

# two set-ups at once would empty node_modules under each other; a read-only checkout has nothing to protect
mkdir -p "$cache" 2>/dev/null || true
if [ -w "$cache" ] && command -v flock >/dev/null; then
  exec 9>"$cache/setup.lock"
  flock 9
fi

sh services/setup/modules.sh

# an external server that someone names makes one of our own needless, except to tests
if [ "${1:-}" = --test ] || [ -z "${CNM_NATS_URL:-}" ]; then
  sh services/setup/nats-server.sh "$cache/nats-server"
fi
if [ "${1:-}" = --test ]; then
  sh services/setup/test-tools.sh
fi
