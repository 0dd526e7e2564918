#!/usr/bin/env bats
# The supervisor: what happens when it, the command or the init is killed; restart; logs.
load helpers

setup_file() { suite_begin; }
teardown() { suite_between; }

gone() { ! kill -0 "$1" 2>/dev/null; }

@test "the supervisor killed: the jail does not run on unseen, the next command repairs" {
  up web
  sup=$(supervisor_of web)
  init=$(pid_of web)
  kill -KILL "$sup"
  eventually 10 gone "$init"
  [[ "$(state_of web)" =~ ^(died|stopped)$ ]]
  jail start web
  is_state web running
  run jail exec web echo again
  [ "$output" = again ]
}

@test "the supervisor killed: destroy takes everything away" {
  up web
  kill -KILL "$(supervisor_of web)"
  jail destroy -f web
  [ -z "$(jail ls -q)" ]
}

@test "the supervisor stopped: commands end in time and say so" {
  up web
  sup=$(supervisor_of web)
  kill -STOP "$sup"
  # Into files: descriptors on their way to the supervisor would keep a pipe open.
  code=0
  timeout -k 1 60 "$JAIL" exec web true >"$W/stuck.out" 2>"$W/stuck.err" </dev/null || code=$?
  kill -CONT "$sup"
  [ "$code" -eq 125 ]
  grep -q '^jail: ' "$W/stuck.err"
  run jail exec web echo again
  [ "$output" = again ]
}

@test "init killed from the host: the status is told" {
  up web
  kill -KILL "$(pid_of web)"
  eventually 10 is_state web stopped
  [ "$(jail ls --format json web | json 'x[0]["exit_code"]')" = 137 ]
}

@test "the command killed at once, again and again: the name is free in the end" {
  for ms in 0 1 2 3 5 8 13 21 34; do
    "$JAIL" run -n web --root "$ROOT" -- sleep 1000 >/dev/null 2>&1 &
    pid=$!
    sleep "$(printf '0.%03d' $ms)"
    kill -KILL $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
    run jail ls --format json
    [ "$status" -eq 0 ]
    if [ -n "$(jail ls -q)" ]; then jail destroy -f web; fi
  done
  run jail run -n web --root "$ROOT" -- echo free
  [ "$output" = free ]
}

@test "create and start killed: consistent and destroyable" {
  for ms in 0 1 2 4 8; do
    (
      "$JAIL" create --root "$ROOT" web sleep 1000 && exec "$JAIL" start web
    ) >/dev/null 2>&1 &
    pid=$!
    sleep "$(printf '0.%03d' $ms)"
    kill -KILL $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
    run jail ls
    [ "$status" -eq 0 ]
    if [ -n "$(jail ls -q)" ]; then
      run jail destroy -f web
      [ "$status" -eq 0 ]
    fi
  done
}

@test "restart policy: on-failure tries again, as often as it may" {
  jail create --root "$ROOT" --restart on-failure:2 flaky sh -c 'echo try; exit 3'
  jail start flaky
  eventually 30 is_state flaky stopped
  [ "$(jail logs flaky | grep -c try)" = 3 ]
  [ "$(jail ls --format json flaky | json 'x[0]["restarts"]')" = 2 ]
  run jail wait flaky
  [ "$status" -eq 3 ]
}

@test "restart policy: success is not failure, and always means always" {
  jail create --root "$ROOT" --restart on-failure once sh -c 'echo try; exit 0'
  jail start once
  eventually 10 is_state once stopped
  [ "$(jail logs once | grep -c try)" = 1 ]
  jail create --root "$ROOT" --restart always again sh -c 'echo try; exit 0'
  jail start again
  twice() { [ "$(jail logs again | grep -c try)" -ge 2 ]; }
  eventually 30 twice
  jail stop -t 0 again
  is_state again stopped
}

@test "stop during the back-off stops" {
  jail create --root "$ROOT" --restart always again false
  jail start again || true
  eventually 10 is_state again restarting
  jail stop -t 0 again
  is_state again stopped
}

@test "the supervisor holds little: memory, descriptors, no capabilities it does not need" {
  up web
  sup=$(supervisor_of web)
  private=$(awk '/^Private/ {s += $2} END {print s}' "/proc/$sup/smaps_rollup")
  echo "private memory $private KiB"
  [ "$private" -le 300 ]
  fds=$(ls "/proc/$sup/fd" | wc -l)
  echo "descriptors $fds"
  [ "$fds" -le 40 ]
}

@test "the supervisor is not in the jail's cgroup" {
  up web
  sup=$(supervisor_of web)
  init=$(pid_of web)
  # On version 2 there is one line, which must differ; on version 1 those of the limits.
  which='memory|pids'
  [ -e /sys/fs/cgroup/memory ] || which='^0:'
  grep -E "$which" "/proc/$init/cgroup" >"$W/cg.init"
  grep -E "$which" "/proc/$sup/cgroup" >"$W/cg.sup"
  run comm -12 <(sort "$W/cg.init") <(sort "$W/cg.sup")
  [ -z "$output" ]
}

@test "an exec of many and a wait survive each other" {
  up web
  for i in $(seq 10); do "$JAIL" exec web sh -c "exit $i" & pids[i]=$!; done
  for i in $(seq 10); do
    code=0
    wait "${pids[i]}" || code=$?
    [ "$code" -eq "$i" ]
  done
}

@test "J7 a log that has become a symlink or a fifo is not written through" {
  jail create --root "$ROOT" web sh -c 'echo hello; exec sleep 1000'
  dir=$(find "$JAIL_STATE_DIR" -type d -name web | head -n 1)
  [ -n "$dir" ]
  echo precious >"$W/precious"
  ln -sf "$W/precious" "$dir/log"
  run jail start web
  [ "$(cat "$W/precious")" = precious ]
  jail destroy -f web
  [ "$(cat "$W/precious")" = precious ]
}

@test "J8 a line without end and escapes are held" {
  jail create --root "$ROOT" web sh -c '/t/probe_procs line 2000000; echo after; exec sleep 1000'
  jail start web
  eventually 20 log_has web after
  rss=$(awk '/VmRSS/ {print $2}' "/proc/$(supervisor_of web)/status")
  [ "$rss" -lt 20000 ]
}

@test "nothing is left behind" { suite_end; }
