# What the files of the behaviour suite share.  Each file:
#
#	load helpers
#	setup_file() { suite_begin; }
#	teardown() { suite_between; }
#	@test "..." { run jail run --root "$ROOT" -- true; [ "$status" -eq 0 ]; }
#	@test "nothing is left behind" { suite_end; }
#
# A file has its own state and run directories, so that neither the host's jails nor another
# run of the suite are touched, and closes with a census of what jails could leave behind.
bats_require_minimum_version 1.5.0

TESTS=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
export TESTS
export JAIL=${JAIL:-$(cd "$TESTS/.." && pwd)/build/release/jail}
export JAIL_BUILD=${JAIL_BUILD:-$(dirname "$JAIL")}

# --- building blocks ---------------------------------------------------------------------

# Hostile and awkward programs, static, built once for all files.
helpers_build() {
  local out="$JAIL_BUILD/helpers" src
  mkdir -p "$out"
  (
    flock 9
    for src in "$TESTS"/helpers/*.c; do
      local bin
      bin="$out/$(basename "$src" .c)"
      [ "$bin" -nt "$src" ] && continue
      ${CC:-gcc} -std=gnu17 -D_GNU_SOURCE -O1 -static -o "$bin.tmp" "$src" && mv "$bin.tmp" "$bin"
    done
  ) 9>"$out/.lock"
}

# A root directory of busybox and the helpers: root_build DIR
root_build() {
  local dir=$1 applet
  mkdir -p "$dir"/{bin,dev,etc,home/user,proc,root,sys,tmp,t,usr/bin,var}
  cp /bin/busybox "$dir/bin/busybox"
  for applet in sh cat echo true false sleep ls id env pwd touch mkdir rm rmdir ln mv cp chmod chown \
    mount umount grep wc head tail seq test kill ps hostname stat mknod dd awk sed sort tr cut find \
    readlink ulimit stty tty nc yes date uname expr printf sync xargs od mkfifo nohup setsid ip nice; do
    ln -sf busybox "$dir/bin/$applet"
  done
  cp "$JAIL_BUILD"/helpers/probe_* "$dir/t/"
  echo marker >"$dir/t/marker"
  cat >"$dir/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/:/bin/false
user:x:1000:1000::/home/user:/bin/sh
1000:x:0:0:a name that is a number:/:/bin/sh
PASSWD
  cat >"$dir/etc/group" <<'GROUP'
root:x:0:
daemon:x:1:
staff:x:50:user
user:x:1000:
extra:x:1001:user
GROUP
  chown -R 0:0 "$dir" 2>/dev/null || true
  chmod 1777 "$dir/tmp"
  chown 1000:1000 "$dir/home/user" 2>/dev/null || true
}

suite_begin() {
  helpers_build
  export W="$BATS_FILE_TMPDIR"
  export ROOT="$W/root" JAIL_STATE_DIR="$W/state" JAIL_RUN_DIR="$W/run"
  # A program of this file's own: the census counts its processes and no others, and a build
  # meanwhile changes nothing.
  install -m 755 "$JAIL" "$W/jail"
  export JAIL="$W/jail"
  # What is only here must not be what a test sees by chance.
  export TERM=xterm HOME=${HOME:-/root}
  [ -d "$ROOT" ] || root_build "$ROOT"
  mkdir -p -m 700 "$JAIL_STATE_DIR" "$JAIL_RUN_DIR"
  # The first command makes the directories and cgroups that stay.
  "$JAIL" run --root "$ROOT" -- true >/dev/null 2>&1 || true
  eventually 10 no_processes
  census >"$W/census.before"
}

suite_between() {
  local pid
  for pid in $(jobs -p); do kill -KILL "$pid" 2>/dev/null || true; done
  timeout -k 2 60 "$JAIL" destroy -f '*' >/dev/null 2>&1 || true
}

# --- what could be left behind --------------------------------------------------------------

# Control groups of this file's jails, in every hierarchy: their names begin with the user and a
# hash (FNV-1a) of the run directory.
census_cgroups() {
  local at mark
  mark=$(python3 -c '
import os, sys
h = 2166136261
for c in os.fsencode(sys.argv[1]):
    h = (h ^ c) * 16777619 & 0xffffffff
print("%u-%08x~" % (os.geteuid(), h))' "$JAIL_RUN_DIR")
  for at in $(awk '$3 ~ /^cgroup2?$/ {print $2}' /proc/mounts); do
    find "$at" -type d -name "$mark*" 2>/dev/null
  done | sort
}

# Processes that run this build's program, and those of its jails.
census_processes() {
  local p exe
  for p in /proc/[0-9]*; do
    exe=$(readlink "$p/exe" 2>/dev/null) || continue
    case $exe in
    "$JAIL" | "$JAIL (deleted)" | /t/probe_* | "$ROOT"/*) echo "${p#/proc/} $exe" ;;
    esac
  done
}

no_processes() { [ -z "$(census_processes)" ]; }

census() {
  echo "mounts:"
  awk '{print $5}' /proc/self/mountinfo | grep -F -e "$W" -e /run/jail -e /var/lib/jail | sort
  echo "processes:"
  census_processes | wc -l
  echo "links:"
  ip -o link 2>/dev/null | awk -F': ' '{print $2}' | grep -E '^(jail|j[0-9])' | sort
  echo "jails:"
  find "$JAIL_STATE_DIR" "$JAIL_RUN_DIR" -mindepth 2 2>/dev/null |
    grep -v -E '/(index|events|ids|lock|seccomp|cache)' | sort
  echo "cgroups:"
  census_cgroups
}

# Fails when the world is not as suite_begin found it; the kernel may take a moment.
suite_end() {
  suite_between
  local end=$((SECONDS + 15))
  while :; do
    census >"$W/census.after"
    cmp -s "$W/census.before" "$W/census.after" && return 0
    [ $SECONDS -lt $end ] || break
    sleep 0.2
  done
  diff "$W/census.before" "$W/census.after"
  census_processes
  return 1
}

# --- doing things ----------------------------------------------------------------------------

jail() { timeout --foreground -k 2 "${JAIL_TIME:-60}" "$JAIL" "$@"; }

# In the busybox root.
inside() { jail run --root "$ROOT" -- "$@"; }

# What a careless tool would do: namespaces, chroot, all privileges.  An attack that fails
# here as well shows nothing, so each security test first succeeds here.
weakly() {
  timeout -k 2 60 unshare --mount --pid --fork --uts --ipc \
    sh -c 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"' "$ROOT" "$@"
}

# eventually SECONDS COMMAND...: tries until it succeeds.
eventually() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.05
  done
}

# A value from JSON on standard input: json 'x[0]["name"]'
json() { python3 -c 'import json,sys; x=json.load(sys.stdin); v=eval(sys.argv[1]); print(v if not isinstance(v,bool) else str(v).lower())' "$1"; }

state_of() { jail ls --format json "$1" | json 'x[0]["state"]'; }
is_state() { [ "$(state_of "$1" 2>/dev/null)" = "$2" ]; }
pid_of() { jail ls --format json "$1" | json 'x[0]["pid"]'; }
supervisor_of() { jail ls --format json "$1" | json 'x[0]["supervisor_pid"]'; }

# A started jail called NAME with a program that waits: up NAME [CREATE OPTION...]
up() {
  local name=$1
  shift
  jail create --root "$ROOT" "$@" "$name" sleep 1000 && jail start "$name"
}

log_has() { jail logs "$1" 2>&1 | grep -q -e "$2"; }

# One line "jail: ..." on standard error, status 125, nothing on standard output.
refused() {
  run --separate-stderr jail "$@"
  echo "status $status, out '$output', err '$stderr'"
  # shellcheck disable=SC2154
  [ "$status" -eq 125 ] && [ -z "$output" ] && [ "${#stderr_lines[@]}" -eq 1 ] && [[ $stderr == "jail: "* ]]
}

# refused_saying TEXT ARGS...: and the line holds TEXT.
refused_saying() {
  local text=$1
  shift
  refused "$@" || return 1
  [[ $stderr == *"$text"* ]] || { echo "expected: $text"; return 1; }
}

# A terminal: tests/helpers/term.py drives a pseudo-terminal by a small script of words.
term() { timeout --foreground -k 5 60 python3 "$TESTS/helpers/term.py" "$@"; }
