#!/usr/bin/env bash
# Strikes create, start, exec, stop, destroy and run at every system call of every process that
# takes part, and at every stage of their tables; each time the next command must find a
# consistent state, and after destroy nothing may be left.
#
#   tests/fault/run.sh [--every N] [--command NAME]...   N: try each N-th point only (default 1)
#
# Closes with "N passed, N failed".
set -u
cd "$(dirname "$0")/../.."
# What others do on this machine must not be counted: mounts and links of our own only.
if [ -z "${FAULT_ALONE:-}" ]; then FAULT_ALONE=1 exec unshare -m -n --propagation private "$0" "$@"; fi
here=$PWD
every=1 commands=
while [ $# -gt 0 ]; do
  case $1 in
  --every) every=$2; shift 2 ;;
  --command) commands="$commands $2"; shift 2 ;;
  *) echo "usage: tests/fault/run.sh [--every N] [--command NAME]..." >&2; exit 2 ;;
  esac
done
commands=${commands:-create start exec stop destroy run}
jail=${JAIL:-$here/build/release/jail}
top=$(mktemp -d)
chmod 711 "$top"
export JAIL_STATE_DIR=$top/state JAIL_RUN_DIR=$top/run
inject=$top/inject
gcc -O2 -o "$inject" tests/fault/inject.c || exit 1
mkdir -p "$top/root/bin" && cp /bin/busybox "$top/root/bin/" || exit 1
for a in sh sleep true; do ln -sf busybox "$top/root/bin/$a"; done

cleanup() {
  timeout 20 "$jail" destroy --force f >/dev/null 2>&1
  rm -rf "$top"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# What must be the same before and after: mounts, the cgroups and processes of jail "f", links,
# files.  The index, its lock, the log of events and the compiled filters stay, by design.
census() {
  grep -c . /proc/self/mountinfo
  find /sys/fs/cgroup -maxdepth 4 -type d -name '*~f' 2>/dev/null | sort
  pgrep -xf 'jail: f' | sed 's/^/process /'
  grep -c : /proc/net/dev
  find "$JAIL_STATE_DIR" "$JAIL_RUN_DIR" -mindepth 1 2>/dev/null |
    grep -vE '/(index|ids|events|[^/]*lock[^/]*|filters|filters/.*|jails|j)$' | sort
}

prepare() { # brings the jail "f" to where the command begins
  case $1 in
  create | run) ;;
  start) "$jail" create f --root "$top/root" --persist ;;
  exec | stop) "$jail" create f --root "$top/root" --persist && "$jail" start f ;;
  destroy) "$jail" create f --root "$top/root" --persist ;;
  esac >"$top/out" 2>&1 || { echo "cannot prepare $1: $(cat "$top/out")"; return 1; }
}

line() { # the command itself
  case $1 in
  create) echo "$jail create f --root $top/root --persist" ;;
  start) echo "$jail start f" ;;
  exec) echo "$jail exec f /bin/true" ;;
  stop) echo "$jail stop f --timeout 1s" ;;
  destroy) echo "$jail destroy f" ;;
  run) echo "$jail run --name f --root $top/root -- /bin/true" ;;
  esac
}

passed=0 failed=0
check() { # $1 what was done
  local out left
  if ! out=$(timeout 20 "$jail" ls --format json 2>&1); then
    echo "not ok: $1: ls says: $out"
    failed=$((failed + 1))
    return
  fi
  timeout 20 "$jail" destroy --force f >"$top/out" 2>&1
  # What is being taken down may take a moment to go.
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    left=$(census | diff "$top/before" - | grep '^[<>]')
    [ -z "$left" ] && break
    sleep 0.1
  done
  if [ -n "$left" ]; then
    echo "not ok: $1: left behind: $(echo "$left" | head -5 | tr '\n' ' ')"
    failed=$((failed + 1))
    cleanup_hard
  else
    passed=$((passed + 1))
  fi
}

cleanup_hard() { # so that one leak is not counted again at every later point
  timeout 20 "$jail" destroy --force f >/dev/null 2>&1
  census >"$top/before"
}

points=0
strike_calls() {
  local cmd=$1 proc calls k
  prepare "$cmd" || { failed=$((failed + 1)); return; }
  "$inject" count $(line "$cmd") >"$top/out" 2>"$top/counts" </dev/null
  timeout 20 "$jail" destroy --force f >/dev/null 2>&1
  grep -E '^[0-9]+ [0-9]+$' "$top/counts" >"$top/points"
  echo "# $cmd: $(awk '{n += $2} END {print n+0, "calls in", NR, "processes"}' "$top/points")"
  while read -r proc calls; do
    for ((k = 1; k <= calls; k += every)); do
      prepare "$cmd" || { failed=$((failed + 1)); continue; }
      "$inject" kill "$proc" "$k" $(line "$cmd") >/dev/null 2>&1 </dev/null
      points=$((points + 1))
      check "$cmd killed at call $k of process $proc"
    done
  done <"$top/points"
}

"$jail" ls >/dev/null 2>&1
census >"$top/before"
for cmd in $commands; do strike_calls "$cmd"; done
echo "# $points points tried"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
