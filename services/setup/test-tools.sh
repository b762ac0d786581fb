#!/bin/sh
# The programs that tests use to look at the kernel from outside, and the container runtimes that they start.
# They are the distribution's: installed with root and apt, else the tests that need them are skipped.
set -eu
PATH=$PATH:/usr/sbin:/sbin

missing=
needs() { # PACKAGE COMMAND; asked by command, since a package of another name may bring it (docker's own runc)
  command -v "$2" >/dev/null || missing="$missing $1"
}
static_busybox() { # containers of tests have no libraries
  file=$(command -v busybox) && ! ldd "$file" >/dev/null 2>&1
}
look() {
  missing=
  needs iproute2 ip
  needs iputils-ping ping
  needs nftables nft
  needs strace strace
  needs openssl openssl
  needs runc runc
  needs python3 python3
  needs bind9-dnsutils dig
  needs crun crun
  static_busybox || missing="$missing busybox-static"
}
apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=10 \
    -o Acquire::https::Timeout=10 -o Acquire::Check-Valid-Until=false "$@" >/dev/null 2>&1
}

look
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "setup: from the distribution:$missing" >&2
  # shellcheck disable=SC2086 # a list of names; nothing that is there may be removed for them
  apt install -y --no-install-recommends --no-remove $missing || {
    apt update || true # one dead source among several is no reason to give up
    apt install -y --no-install-recommends --no-remove $missing || true
  }
  look
fi
[ -z "$missing" ] && exit 0
echo "setup: not here, and only root with apt can install it:$missing. Kernel and e2e tests that need it are skipped." >&2
[ "${CI:-}" != true ]
