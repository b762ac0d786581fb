#!/bin/sh
# nats-release.sh FOLDER: the official release archive of nats-server, checked against the digest below.
# Its reason for failing is the last line on stderr.
set -eu
here=$(dirname "$0")
folder=$1

# digests of the release's SHA256SUMS, the same as in nats-io/nats-docker (2.14.x/alpine3.22/Dockerfile)
version=2.14.5
case "$(uname -s)-$(uname -m)" in
Linux-x86_64) arch=amd64 sha256=5e3b603d47c447bda1f77f9ac16dbf91c90aac4ff3681f8fbbc7201e4ed99355 ;;
Linux-aarch64) arch=arm64 sha256=673a98d3faa79dde3f9ebf16d6dfac36a5f694e7ad2015e4954dd7939c85cd4c ;;
*) echo "none is pinned for $(uname -s) on $(uname -m)" >&2 && exit 1 ;;
esac
name=nats-server-v$version-linux-$arch

# beside the target, so that the last step is a rename: nobody sees half a server
work=$(mktemp -d "$folder/release.XXXXXX")
trap 'rm -rf "$work"' EXIT
# the variable lets newer nodes go through the proxy that the environment names
NODE_USE_ENV_PROXY=1 \
  node "$here/download.mjs" "https://github.com/nats-io/nats-server/releases/download/v$version/$name.tar.gz" "$work/archive"
printf '%s  %s\n' "$sha256" "$work/archive" | sha256sum -c >/dev/null 2>&1 || {
  echo "the SHA-256 of $name.tar.gz is not the pinned one: refused" >&2
  exit 1
}
tar -xzf "$work/archive" -C "$work"
mv -f "$work/$name/nats-server" "$folder/nats-server"
