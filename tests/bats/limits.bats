#!/usr/bin/env bats
# Limits hold by default, as asked, and when changed on a running jail.
load helpers

setup_file() { suite_begin; }
teardown() { suite_between; }

stat_of() { jail stats --format json "$1" | json "x[0]['$2']"; }

@test "every jail has limits unasked" {
  up web
  [ "$(stat_of web pids_limit)" = 512 ]
  memory=$(stat_of web memory_limit_bytes)
  [ "$memory" -gt 0 ]
  [ "$memory" -le $((1 << 30)) ]
  run jail exec web sh -c 'ulimit -n; ulimit -c'
  [ "${lines[0]}" -le 1024 ]
  [ "${lines[1]}" = 0 ]
}

@test "L1 a fork bomb stops at the limit, and the jail is gone in time" {
  run weakly /t/probe_procs forks 150
  [ "$output" = "made 150" ]
  run jail run --pids 100 --root "$ROOT" -- /t/probe_procs forks 150
  made=${output//[^0-9]/}
  [ "$made" -ge 50 ]
  [ "$made" -lt 100 ]
  up bomb --pids 200
  "$JAIL" exec bomb sh -c 'while :; do sleep 1000 & done' >/dev/null 2>&1 &
  full() { [ "$(stat_of bomb pids)" -ge 150 ]; }
  eventually 30 full
  start=$SECONDS
  jail destroy -f bomb
  [ $((SECONDS - start)) -lt 10 ]
}

@test "L2 memory beyond the limit kills the group, and it is told" {
  run weakly /t/probe_procs eat 100
  [ "$output" = "ate 100" ]
  run jail run -m 32M --root "$ROOT" -- /t/probe_procs eat 100
  [ "$status" -eq 137 ]
  run jail run -m 200M --root "$ROOT" -- /t/probe_procs eat 100
  [ "$output" = "ate 100" ]
  jail create -m 32M --root "$ROOT" eater /t/probe_procs eat 100
  jail start eater
  run jail wait eater
  [ "$status" -eq 137 ]
  [ "$(jail ls --format json eater | json 'x[0]["oom_killed"]')" = true ]
}

@test "L2 files in memory count too" {
  run jail run -m 32M --tmpfs /mem:size=200M --root "$ROOT" -- dd if=/dev/zero of=/mem/f bs=1048576 count=100
  [ "$status" -ne 0 ]
  run jail run -m 32M --root "$ROOT" -- sh -c 'dd if=/dev/zero of=/dev/shm/f bs=1048576 count=100'
  [ "$status" -ne 0 ]
}

@test "L2 the private layer of a run counts or is bounded" {
  run jail run -m 32M --root "$ROOT" -- sh -c 'dd if=/dev/zero of=/tmp/f bs=1048576 count=200'
  [ "$status" -ne 0 ]
}

@test "L3 memory death leaves the supervisor alive" {
  jail create -m 32M --root "$ROOT" --persist eater
  jail start eater
  sup=$(supervisor_of eater)
  jail exec eater /t/probe_procs eat 100 || true
  kill -0 "$sup"
  [ -n "$(state_of eater)" ]
}

@test "L6 open files are bounded" {
  run jail run --root "$ROOT" -- sh -c 'ulimit -n; ulimit -H -n'
  [ "${lines[0]}" -le 1024 ]
  [ "${lines[1]}" -le 20000 ]
  run jail run --rlimit nofile=64:64 --root "$ROOT" -- sh -c 'ulimit -n'
  [ "$output" = 64 ]
}

@test "L6 inotify instances taken by a jail's root are not the host root's" {
  jail create --root "$ROOT" taker /t/probe_world inotify
  jail start taker
  eventually 10 log_has taker took
  # It got a user's whole budget...
  took=$(jail logs taker | tr -dc 0-9)
  [ "$took" -ge 100 ]
  # ...and root here still has its own.
  run python3 -c '
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(sum(libc.inotify_init1(0) >= 0 for _ in range(20)))'
  [ "$output" = 20 ]
}

@test "L7 a spinning jail does not stop commands, and --cpu bounds it" {
  jail create --root "$ROOT" --cpu 0.2 spin /t/probe_procs spin
  jail start spin
  start=$(stat_of spin cpu_usec)
  t0=$(date +%s%N)
  sleep 1
  used=$(($(stat_of spin cpu_usec) - start))
  wall=$((($(date +%s%N) - t0) / 1000))
  # A fifth of one processor, with room for the quota's period.
  [ "$used" -lt $((wall / 2)) ]
  run jail exec spin echo answers
  [ "$output" = answers ]
}

@test "L8 orphans are reaped by init" {
  run inside /t/probe_procs orphans 200
  [ "$output" = "zombies 0" ]
}

@test "L5 the log is bounded" {
  jail create --root "$ROOT" --log 64K:2 chatty sh -c 'yes 0123456789012345678901234567890123456789 | head -c 3000000; echo last; exec sleep 1000'
  jail start chatty
  eventually 20 log_has chatty last
  size=$(find "$JAIL_STATE_DIR" "$JAIL_RUN_DIR" -name '*log*' -type f -path '*chatty*' -printf '%s\n' | awk '{s += $1} END {print s}')
  [ "$size" -gt 0 ]
  [ "$size" -le $((3 * 64 * 1024)) ]
  jail create --root "$ROOT" --log none silent sh -c 'echo x; exec sleep 1000'
  jail start silent
  run jail logs silent
  [[ $output != *x ]]
}

@test "set changes a running jail, and the definition" {
  up web
  jail set web --memory 48M --pids 30
  [ "$(stat_of web memory_limit_bytes)" = $((48 << 20)) ]
  [ "$(stat_of web pids_limit)" = 30 ]
  jail stop -t 0 web
  jail start web
  [ "$(stat_of web pids_limit)" = 30 ]
  jail set web --pids max
  [ "$(stat_of web pids_limit)" = None ]
}

@test "set is all or nothing" {
  up web
  refused set web --pids 40 --cpuset 9999
  [ "$(stat_of web pids_limit)" = 512 ]
}

@test "the limits are in the kernel, in every hierarchy that has the controller" {
  up web --memory 40M --pids 44
  pid=$(pid_of web)
  found=0
  while IFS=: read -r _ controllers path; do
    case ,$controllers, in
    *,memory,*) [ "$(cat /sys/fs/cgroup/memory"$path"/memory.limit_in_bytes)" = $((40 << 20)) ]; found=$((found + 1)) ;;
    *,pids,*) [ "$(cat /sys/fs/cgroup/pids"$path"/pids.max)" = 44 ]; found=$((found + 1)) ;;
    ,,)
      for base in /sys/fs/cgroup /sys/fs/cgroup/unified; do
        [ -e "$base$path/memory.max" ] || continue
        [ "$(cat "$base$path/memory.max")" = $((40 << 20)) ]
        [ "$(cat "$base$path/pids.max")" = 44 ]
        found=$((found + 2))
      done
      ;;
    esac
  done <"/proc/$pid/cgroup"
  [ "$found" -ge 2 ]
}

@test "rlimits beyond the caller's own are a plain error or held to it" {
  run --separate-stderr jail run --rlimit nofile=max --root "$ROOT" -- sh -c 'ulimit -n'
  [ "$status" -eq 0 ] || [[ $stderr == "jail: "*nofile* ]]
}

@test "nothing is left behind" { suite_end; }
