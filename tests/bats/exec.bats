#!/usr/bin/env bats
# jail exec: one more program under the whole policy.
load helpers

setup_file() {
  suite_begin
  jail create --root "$ROOT" -e FROM=jail web sleep 1000
  jail start web
}
teardown() { for pid in $(jobs -p); do kill -KILL "$pid" 2>/dev/null || true; done; }
teardown_file() { jail destroy -f '*' 2>/dev/null || true; }

@test "exit status, signals, 126 and 127" {
  run jail exec web sh -c 'exit 42'
  [ "$status" -eq 42 ]
  run jail exec web /t/probe_procs signal 9
  [ "$status" -eq 137 ]
  run --separate-stderr jail exec web /no/such
  [ "$status" -eq 127 ]
  [ "${#stderr_lines[@]}" -eq 1 ]
  [[ $stderr == "jail: "*"/no/such"* ]]
  run --separate-stderr jail exec web /etc/passwd
  [ "$status" -eq 126 ]
}

@test "standard input and output" {
  run bash -c 'printf "a\nb\n" | "$JAIL" exec web cat'
  [ "$output" = "a
b" ]
  run --separate-stderr jail exec web sh -c 'echo out; echo err >&2'
  [ "$output" = out ]
  [ "$stderr" = err ]
}

@test "environment: the jail's, more when asked, nothing of the caller's" {
  SECRET=1 run jail exec -e MORE=2 web env
  [[ $output == *FROM=jail* && $output == *MORE=2* && $output != *SECRET* ]]
}

@test "user and folder" {
  run jail exec -u user web id -un
  [ "$output" = user ]
  run jail exec --cwd /home web pwd
  [ "$output" = /home ]
  refused_saying "nosuchuser" exec -u nosuchuser web id
}

@test "the same policy as the jail's first program" {
  # Everything of /proc/self/status that is policy, the namespaces, the cgroup and the limits.
  probe='grep -E "^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Seccomp_filters):" /proc/self/status
    for n in cgroup ipc mnt net pid time user uts; do readlink /proc/self/ns/$n; done
    cat /proc/self/limits /proc/self/cgroup /proc/self/oom_score_adj; umask'
  jail create --root "$ROOT" twin sh -c "$probe; echo end; exec sleep 1000"
  jail start twin
  eventually 10 log_has twin '^end$'
  jail logs twin | sed '/^end$/d' >"$W/first"
  jail exec twin sh -c "$probe" >"$W/second"
  diff "$W/first" "$W/second"
  grep -q "^Seccomp:.*2" "$W/first"
  grep -q "^NoNewPrivs:.*1" "$W/first"
}

@test "a stopped jail says so" {
  jail create --root "$ROOT" off true
  refused_saying "'off'" exec off true
}

@test "a program of exec ends with the jail" {
  up ends
  "$JAIL" exec ends sleep 1000 &
  pid=$!
  eventually 10 eval '[ "$(jail ps --format json ends | json "len(x)")" -ge 2 ]'
  jail kill ends
  code=0
  wait $pid || code=$?
  [ "$code" -ge 125 ]
}

@test "signals go to the program" {
  "$JAIL" exec web /t/probe_procs trap >"$W/exec.trap" &
  pid=$!
  eventually 10 grep -q ready "$W/exec.trap"
  kill -USR2 $pid
  eventually 10 grep -q "got USR2" "$W/exec.trap"
  kill -TERM $pid
  code=0
  wait $pid || code=$?
  [ "$code" -eq 7 ]
}

@test "the jail goes on when the exec's command is killed" {
  "$JAIL" exec web sleep 1001 &
  pid=$!
  eventually 10 eval 'jail ps web | grep -q "sleep 1001"'
  kill -KILL $pid
  is_state web running
  run jail exec web echo still here
  [ "$output" = "still here" ]
}

@test "a hundred in a row leave no process behind" {
  before=$(jail ps --format json web | json 'len(x)')
  for _ in $(seq 100); do jail exec web true; done
  eventually 10 eval '[ "$(jail ps --format json web | json "len(x)")" -le "$before" ]'
}

@test "execs during stop and start: either run or say why" {
  up racy
  (for _ in $(seq 5); do
    "$JAIL" stop -t 0 racy
    "$JAIL" start racy
  done) >/dev/null 2>&1 &
  churn=$!
  wrong=0
  while kill -0 $churn 2>/dev/null; do
    code=0
    out=$(timeout -k 2 30 "$JAIL" exec racy echo fine 2>&1) || code=$?
    case $code in
    0) [ "$out" = fine ] || wrong=1 ;;
    125) [[ $out == "jail: "* ]] || wrong=1 ;;
    137) ;; # killed with the jail
    *) wrong=1 ;;
    esac
    [ $wrong -eq 0 ] || { echo "$out"; break; }
  done
  wait $churn || true
  [ $wrong -eq 0 ]
}

@test "a flood of output is carried at the reader's pace" {
  run bash -c 'set -o pipefail; "$JAIL" exec web /t/probe_procs flood | head -c 20000000 | wc -c'
  [ "${lines[0]}" -eq 20000000 ]
  rss=$(awk '/VmRSS/ {print $2}' "/proc/$(supervisor_of web)/status")
  [ "$rss" -lt 20000 ]
}

@test "nothing is left behind" { suite_end; }
