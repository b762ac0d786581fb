#!/bin/sh
# nats-debian.sh FOLDER: nats-server from Debian's testing suite, for machines that reach a Debian mirror and nothing else.
# Mirror and keyring are those of the machine's own apt configuration; apt checks signature and digest as for any package.
# Lists and caches are kept apart, so the machine's own package state stays as it is, and no root is needed.
# Its reason for failing is the last line on stderr.
set -eu
command -v apt-get >/dev/null || { echo 'apt-get is not on this machine' >&2 && exit 1; }
folder=$(cd "$1" && pwd)
work=$(mktemp -d "$folder/debian.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"

# the first archive entry, pointed at testing: a stanza of a .sources file, or else one line of a .list file
awk -v RS= '
  /(^|\n)URIs:[^\n]*\/debian\/*(\n|$)/ {
    sub(/(^|\n)Types:[^\n]*/, "\nTypes: deb")
    sub(/(^|\n)Suites:[^\n]*/, "\nSuites: testing")
    sub(/(^|\n)Components:[^\n]*/, "\nComponents: main")
    print
    exit
  }' /etc/apt/sources.list.d/*.sources >"$work/testing.sources" 2>/dev/null || true
cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
  sed -n 's|^\(deb \(\[[^]]*\] *\)\{0,1\}[^ ]*/debian/*\) .*|\1 testing main|p' | sed 1q >"$work/testing.list"
if [ -s "$work/testing.sources" ]; then
  list=$work/testing.sources
elif [ -s "$work/testing.list" ]; then
  list=$work/testing.list
else
  echo 'no Debian mirror in the configuration of apt' >&2
  exit 1
fi

# a mirror's snapshot may be past its date and is still signed
apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists" \
    -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=1 \
    -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 -o Acquire::Check-Valid-Until=false "$@"
}
cd "$work"
apt update
apt download nats-server
dpkg -x nats-server_*.deb unpacked
mv -f unpacked/usr/sbin/nats-server "$folder/nats-server"
