#!/bin/sh
# nats-server.sh FOLDER: makes FOLDER/nats-server a server that is new enough: the one on PATH, one fetched earlier, the
# official release, or the one of Debian's testing suite. The last two are only unpacked into FOLDER, not installed.
set -eu
here=$(dirname "$0")
folder=$1
server=$folder/nats-server

# an older server accepts atomic batches and guards on other subjects, and silently ignores what they ask for
wanted=2.12

version_of() {
  "$1" --version 2>/dev/null | sed -n 's/^nats-server: v\{0,1\}\([0-9][0-9.]*\).*/\1/p'
}

new_enough() {
  version=$(version_of "$1")
  major=${version%%.*}
  rest=${version#*.}
  minor=${rest%%.*}
  [ -n "$version" ] && { [ "$major" -gt "${wanted%.*}" ] || { [ "$major" -eq "${wanted%.*}" ] && [ "$minor" -ge "${wanted#*.}" ]; }; }
}

on_path=$(command -v nats-server || true)
if [ -n "$on_path" ] && new_enough "$on_path"; then
  [ "$(readlink "$server" || true)" = "$on_path" ] && exit 0
  mkdir -p "$folder"
  ln -sf "$on_path" "$server"
  exit 0
fi
[ -x "$server" ] && new_enough "$server" && exit 0

mkdir -p "$folder"
echo "setup: nats-server $wanted or newer" >&2
release=$(sh "$here/nats-release.sh" "$folder" 2>&1) && new_enough "$server" && exit 0
debian=$(sh "$here/nats-debian.sh" "$folder" 2>&1) && new_enough "$server" && exit 0

if [ -n "$on_path" ]; then
  path="$on_path is $(version_of "$on_path")"
else
  path='there is none'
fi
last_line() { printf '%s\n' "$1" | tail -n 1; }
cat >&2 <<END
setup: nats-server $wanted or newer is needed and could not be had. Install it so that it is on PATH, and start again.
  on PATH:         $path
  release archive: $(last_line "${release:-it does not run here}")
  Debian package:  $(last_line "${debian:-it does not run here}")
  to install:      https://github.com/nats-io/nats-server/releases, or the package nats-server of a newer distribution
END
exit 1
