#!/usr/bin/env bats
# Many commands at once.
load helpers

setup_file() { suite_begin; }
teardown() { suite_between; }

@test "N3 thirty-two creates of one name: one winner" {
  for i in $(seq 32); do
    ("$JAIL" create --root "$ROOT" -e "N=$i" same sleep 1000 >/dev/null 2>"$W/err.$i" && echo won >"$W/won.$i") &
  done
  wait
  [ "$(cat "$W"/won.* | wc -l)" = 1 ]
  [ "$(grep -l "^jail: .*'same'" "$W"/err.* | wc -l)" = 31 ]
  jail start same
}

@test "sixteen starts of one jail: one winner, one init" {
  jail create --root "$ROOT" same sleep 1000
  for i in $(seq 16); do ("$JAIL" start same >/dev/null 2>&1 && echo won >"$W/start.$i") & done
  wait
  [ "$(cat "$W"/start.* | wc -l)" = 1 ]
  is_state same running
  [ "$(jail ps --format json same | json 'sum("sleep 1000" in r["command"] for r in x)')" = 1 ]
}

@test "stop, kill, exec, set, destroy at once: consistent in the end" {
  for round in 1 2 3 4 5; do
    up same
    "$JAIL" stop -t 0 same >/dev/null 2>&1 &
    "$JAIL" kill same >/dev/null 2>&1 &
    "$JAIL" exec same true >/dev/null 2>&1 &
    "$JAIL" set same --pids 50 >/dev/null 2>&1 &
    "$JAIL" ls >/dev/null 2>&1 &
    "$JAIL" destroy -f same >/dev/null 2>&1 &
    wait
    run jail ls --format json
    [ "$status" -eq 0 ]
    if [ -n "$(jail ls -q)" ]; then jail destroy -f same; fi
  done
}

@test "a hundred runs in parallel: all right, nothing left" {
  for i in $(seq 100); do
    (
      code=0
      "$JAIL" run --root "$ROOT" -- sh -c "exit $((i % 100))" >/dev/null 2>"$W/par.$i" || code=$?
      echo $code >"$W/code.$i"
    ) &
    # As many at once as two processors can feed.
    [ $((i % 25)) -ne 0 ] || wait
  done
  wait
  for i in $(seq 100); do
    [ "$(cat "$W/code.$i")" -eq $((i % 100)) ] || { echo "$i: $(cat "$W/code.$i") $(cat "$W/par.$i")"; false; }
  done
  [ -z "$(jail ls -q)" ]
}

@test "E9 host ids of jails do not overlap" {
  for i in $(seq 10); do (jail create --root "$ROOT" "j$i" sleep 1000) & done
  wait
  jail start 'j*'
  for i in $(seq 10); do awk '{print $2, $3}' "/proc/$(pid_of j"$i")/uid_map"; done | sort -n >"$W/maps"
  run awk 'NR > 1 && $1 < end {print "overlap"} {end = $1 + $2}' "$W/maps"
  [ -z "$output" ]
  [ "$(wc -l <"$W/maps")" = 10 ]
}

@test "two hundred lives in a row: no growth" {
  for i in $(seq 10); do inside true; done
  census >"$W/before"
  for i in $(seq 200); do inside true; done
  census >"$W/after"
  diff "$W/before" "$W/after"
}

@test "nothing is left behind" { suite_end; }
