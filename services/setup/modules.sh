#!/bin/sh
# Installs the node modules of the lockfile into the current folder, unless just these are installed already.
set -eu

# the lockfile that node_modules was made from; contents are compared, since a checkout changes times
stamp=node_modules/.installed-lock.json

node_24() {
  version=$(node_modules/.bin/node --version 2>/dev/null || node --version 2>/dev/null || true)
  major=${version#v}
  [ "${major%%.*}" -ge 24 ] 2>/dev/null
}

cmp -s package-lock.json "$stamp" && node_24 && exit 0

echo 'setup: node modules from the lockfile' >&2
npm ci --include=dev >&2
# npm links the commands of dependencies only; with this one in PATH too, scripts say `cnm`
ln -sf ../../services/cli/cnm node_modules/.bin/cnm
node_24 || {
  echo 'setup: no Node 24. It comes with the npm package "node", whose install script npm was told not to run; allow it, or install Node 24.' >&2
  exit 1
}
cp package-lock.json "$stamp"
