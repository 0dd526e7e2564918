#!/bin/sh
# Installs, or names, the Debian packages of the lists given.
#   packages.sh --install LIST...              apt-get what is missing (needs root)
#   packages.sh --missing-sentence LIST CC     fails with one plain sentence when building would
# A line "a|b" means the first of them that Debian has here.
set -eu
mode=$1
shift

missing() {
  for list in "$@"; do
    sed 's/#.*//' "$list" | while read -r line; do
      [ -n "$line" ] || continue
      found=
      for p in $(echo "$line" | tr '|' ' '); do
        if dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed; then found=1; break; fi
      done
      [ -n "$found" ] || echo "$line"
    done
  done
}

choose() { # of "a|b", the first that apt knows
  for p in $(echo "$1" | tr '|' ' '); do
    if apt-cache policy "$p" 2>/dev/null | grep -q 'Candidate: [0-9]'; then echo "$p"; return; fi
  done
  echo "$1" | cut -d'|' -f1
}

case $mode in
--install)
  need=$(missing "$@")
  [ -n "$need" ] || exit 0
  if ! command -v apt-get >/dev/null; then
    echo "jail: these Debian packages (or your distribution's equivalents) are needed: $(echo $need)" >&2
    exit 1
  fi
  if [ "$(id -u)" != 0 ]; then
    echo "jail: missing Debian packages: $(echo $need); install them as root: apt-get install $(echo $need)" >&2
    exit 1
  fi
  echo "installing: $(echo $need)"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq || true
  set --
  for line in $need; do set -- "$@" "$(choose "$line")"; done
  apt-get install -y -qq --no-install-recommends "$@" >/dev/null || apt-get install -y --no-install-recommends "$@"
  ;;
--missing-sentence)
  list=$1 cc=$2
  printf '#include <sys/capability.h>\n#include <seccomp.h>\n#include <libmnl/libmnl.h>\n#include <libcgroup.h>\n#include <json-c/json.h>\n#include <archive.h>\n#include <curl/curl.h>\n#include <openssl/evp.h>\n#include <zstd.h>\n#include <isa-l/igzip_lib.h>\n' |
    "$cc" -x c -fsyntax-only - 2>/dev/null && exit 0
  need=$(command -v dpkg-query >/dev/null && missing "$list" || sed 's/#.*//' "$list")
  echo "jail: cannot build: missing Debian packages: $(echo $need); install them as root: apt-get install $(echo $need)" >&2
  exit 1
  ;;
*)
  echo "usage: packages.sh --install LIST... | --missing-sentence LIST CC" >&2
  exit 2
  ;;
esac
