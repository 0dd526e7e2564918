#!/usr/bin/env bats
# The life of named jails.
load helpers

setup_file() { suite_begin; }
teardown() { suite_between; }

@test "create, start, exec, stop, destroy" {
  jail create --root "$ROOT" web sleep 1000
  is_state web created
  jail start web
  is_state web running
  run jail exec web echo hello
  [ "$status" -eq 0 ]
  [ "$output" = hello ]
  jail stop web
  is_state web stopped
  jail destroy web
  [ -z "$(jail ls -q)" ]
}

@test "options may follow the name" {
  jail create web --root "$ROOT" --pids 33 -- sleep 1000
  [ "$(jail inspect --format json web | grep -c '"pids": *33')" -ge 1 ]
}

@test "a jail is found by its jid too" {
  up web
  jid=$(jail ls --format json web | json 'x[0]["jid"]')
  run jail exec "$jid" echo by jid
  [ "$output" = "by jid" ]
}

@test "what is not there is said, by name" {
  for c in start stop kill restart pause resume inspect logs wait console destroy ps; do
    refused_saying "'nothere'" $c nothere
  done
  refused_saying "'nothere'" exec nothere true
  refused_saying "'nothere'" set nothere --pids 10
  refused_saying "'nothere'" rename nothere other
}

@test "create twice: the second is refused, the first stays as it was" {
  jail create --root "$ROOT" --pids 77 web sleep 1000
  before=$(jail inspect --format json web)
  refused_saying "'web'" create --root "$ROOT" --pids 78 web true
  [ "$before" = "$(jail inspect --format json web)" ]
}

@test "start of a running jail, stop of a stopped one" {
  up web
  refused_saying "'web'" start web
  jail stop -t 0 web
  refused_saying "'web'" stop web
}

@test "destroy of a running jail needs -f" {
  up web
  refused_saying "'web'" destroy web
  is_state web running
  jail destroy -f web
  [ -z "$(jail ls -q)" ]
}

@test "the exit status is kept and told by ls, inspect and wait" {
  jail create --root "$ROOT" short sh -c 'exit 7'
  jail start short
  run jail wait short
  [ "$status" -eq 7 ]
  [ "$(jail ls --format json short | json 'x[0]["exit_code"]')" = 7 ]
  [[ $(jail ls) == *"stopped (7)"* ]]
  run jail wait --format json short
  [ "$status" -eq 7 ]
  [ "$(json 'x["exit_code"]' <<<"$output")" = 7 ]
}

@test "wait gives up in time" {
  up web
  refused_saying "'web'" wait -t 100ms web
}

@test "wait sees an end that comes later" {
  up web
  jail wait web >/dev/null &
  waiter=$!
  jail kill -s KILL web
  code=0
  wait $waiter || code=$?
  [ "$code" -eq 137 ]
}

@test "a program that ignores TERM is killed after its time" {
  jail create --root "$ROOT" --stop-timeout 300ms hard /t/probe_procs stubborn
  jail start hard
  eventually 10 log_has hard ready
  jail stop hard
  [ "$(jail ls --format json hard | json 'x[0]["exit_code"]')" = 137 ]
}

@test "stop asks with the signal that was given" {
  jail create --root "$ROOT" --stop-signal USR2 asked /t/probe_procs trap
  jail start asked
  eventually 10 log_has asked ready
  jail stop -t 500ms asked
  log_has asked "got USR2"
  jail start asked
  eventually 10 log_has asked ready
  jail stop -s TERM asked
  [ "$(jail ls --format json asked | json 'x[0]["exit_code"]')" = 7 ]
}

@test "kill sends a signal to the program" {
  jail create --root "$ROOT" t /t/probe_procs trap
  jail start t
  eventually 10 log_has t ready
  jail kill -s USR1 t
  eventually 10 log_has t "got USR1"
  is_state t running
}

@test "restart" {
  up web
  first=$(pid_of web)
  jail restart -t 0 web
  is_state web running
  [ "$first" != "$(pid_of web)" ]
}

@test "pause freezes, resume goes on" {
  jail create --root "$ROOT" busy /t/probe_procs spin
  jail start busy
  eventually 10 eval '[ "$(jail stats --format json busy | json "x[0][\"cpu_usec\"]")" -gt 0 ]'
  jail pause busy
  is_state busy paused
  one=$(jail stats --format json busy | json 'x[0]["cpu_usec"]')
  sleep 0.3
  [ "$one" = "$(jail stats --format json busy | json 'x[0]["cpu_usec"]')" ]
  jail resume busy
  is_state busy running
  more() { [ "$(jail stats --format json busy | json 'x[0]["cpu_usec"]')" -gt "$one" ]; }
  eventually 10 more
}

@test "a paused jail can be stopped and destroyed" {
  up one
  up two
  jail pause one two
  jail stop -t 1s one
  is_state one stopped
  jail destroy -f two
}

@test "a persistent jail lives with no program, takes any number of execs" {
  jail create --root "$ROOT" --persist empty
  jail start empty
  is_state empty running
  for i in 1 2 3; do
    run jail exec empty sh -c "echo $i >>/tmp/count; wc -l </tmp/count"
    [ "${output//[^0-9]/}" = "$i" ]
  done
  jail stop -t 2s empty
  is_state empty stopped
}

@test "a persistent jail outlives its program" {
  jail create --root "$ROOT" --persist brief sh -c 'echo done >/tmp/done'
  jail start brief
  eventually 10 jail exec brief test -e /tmp/done
  is_state brief running
}

@test "a jail keeps running when the session that started it has gone" {
  jail create --root "$ROOT" web sleep 1000
  setsid -w bash -c '"$JAIL" start web; kill -HUP 0' || true
  is_state web running
}

@test "the writable layer stays over a stop, and goes with destroy" {
  up web
  jail exec web sh -c 'echo kept >/etc/kept'
  jail stop -t 0 web
  jail start web
  run jail exec web cat /etc/kept
  [ "$output" = kept ]
  jail destroy -f web
  up web
  run jail exec web cat /etc/kept
  [ "$status" -ne 0 ]
}

@test "rename: a stopped one, under a free name" {
  jail create --root "$ROOT" old sleep 1000
  jail create --root "$ROOT" other sleep 1000
  refused_saying "other" rename old other
  jail rename old new
  [ "$(jail ls -q)" = "new
other" ]
  jail start new
  refused_saying "new" rename new newer
}

@test "several at once: each gets its turn, each failure its line" {
  up one
  up two
  run --separate-stderr jail stop -t 0 one nothere two
  [ "$status" -eq 125 ]
  [ "${#stderr_lines[@]}" -eq 1 ]
  [[ $stderr == *"'nothere'"* ]]
  is_state one stopped
  is_state two stopped
}

@test "patterns" {
  for n in web-1 web-2 db; do jail create --root "$ROOT" $n sleep 1000; done
  jail start 'web-*'
  is_state web-1 running
  is_state web-2 running
  is_state db created
  refused_saying "no jail matches 'zzz*'" start 'zzz*'
  jail destroy -f '*'
  [ -z "$(jail ls -q)" ]
}

@test "ps shows the processes as both sides number them" {
  up web
  jail exec web sh -c 'sleep 2000 >/dev/null 2>&1 &'
  run jail ps web
  [ "$status" -eq 0 ]
  [[ $output == *"sleep 1000"* ]]
  [[ $output == *"sleep 2000"* ]]
  pid=$(jail ps --format json web | json '[r["pid"] for r in x if "2000" in r["command"]][0]')
  grep -q sleep "/proc/$pid/comm"
  [ "$(jail ps --format json | json 'sorted(set(r["jail"] for r in x))[0]')" = web ]
}

@test "stats show use and limits" {
  up web --memory 64M --pids 20
  run jail stats --format json web
  [ "$(json 'x[0]["memory_limit_bytes"]' <<<"$output")" = $((64 << 20)) ]
  [ "$(json 'x[0]["pids_limit"]' <<<"$output")" = 20 ]
  [ "$(json 'x[0]["pids"]' <<<"$output")" -ge 1 ]
  run jail stats
  [[ $output == *web* && $output == *64M* ]]
}

@test "inspect tells that nothing is wider, or what is" {
  jail create --root "$ROOT" tight true
  jail create --root "$ROOT" --cap-add net_raw --net host loose true
  run jail inspect tight
  [[ $output == *"no more than the default"* ]]
  run jail inspect loose
  [ "$(grep -c '^wider' <<<"$output")" -ge 2 ]
  jail inspect --format json loose | json 'x' >/dev/null
}

@test "events tell a life in order" {
  up web
  jail stop -t 0 web
  jail destroy web
  kinds=$(jail events --format json web | python3 -c 'import json,sys; print(" ".join(json.loads(l)["event"] for l in sys.stdin))')
  [[ $kinds == *create*start*exit*destroy* ]] || { echo "$kinds"; false; }
}

@test "events --follow sees what comes" {
  "$JAIL" events --follow --new --format json >"$W/events" &
  eventually 10 eval 'jail create --root "$ROOT" "n$RANDOM" true; grep -q create "$W/events"'
}

@test "jls and jexec, FreeBSD's names" {
  ln -sf "$JAIL" "$W/jls"
  ln -sf "$JAIL" "$W/jexec"
  up web
  run "$W/jls"
  [[ ${lines[0]} == *JID*Hostname*Path* ]]
  [[ ${lines[1]} == *web* ]]
  jid=$("$W/jls" -q)
  run "$W/jexec" -U user "$jid" id -un
  [ "$output" = user ]
  run "$W/jexec" -l -d /home web pwd
  [ "$output" = /home ]
}

@test "logs: streams, tail, times, json, escapes" {
  jail create --root "$ROOT" chatty sh -c 'echo one; echo two >&2; printf "\033]0;title\007x\tz\n"; exec sleep 1000'
  jail start chatty
  eventually 10 log_has chatty title
  run --separate-stderr jail logs chatty
  [ "$stderr" = two ]
  [ "${lines[0]}" = one ]
  [ "${lines[1]}" = '\x1b]0;title\x07x	z' ]
  [ "$(jail logs -n 1 chatty 2>&1 | wc -l)" = 1 ]
  [[ $(jail logs --times chatty 2>/dev/null | head -n 1) =~ ^20[0-9][0-9]-.*\ one$ ]]
  [ "$(jail logs --format json chatty | python3 -c 'import json,sys; print([json.loads(l)["stream"] for l in sys.stdin].count("stderr"))')" = 1 ]
  jail logs --raw chatty 2>/dev/null | grep -q $'\033]0;title'
}

@test "logs --follow ends with the jail" {
  jail create --root "$ROOT" chatty sh -c 'echo one; sleep 0.5; echo two'
  jail start chatty
  run timeout -k 2 20 "$JAIL" logs -f chatty
  [ "$status" -eq 0 ]
  [ "$output" = "one
two" ]
}

@test "cp: files and trees, in and out" {
  up web
  mkdir -p "$W/tree/sub" && echo deep >"$W/tree/sub/file" && ln -sf sub/file "$W/tree/link"
  jail cp "$W/tree" web:/tmp/tree
  run jail exec web cat /tmp/tree/link
  [ "$output" = deep ]
  jail exec web sh -c 'mkdir /tmp/out && echo fromjail >/tmp/out/f && chmod 750 /tmp/out/f'
  jail cp web:/tmp/out "$W/got"
  [ "$(cat "$W/got/f")" = fromjail ]
  [ "$(stat -c %a "$W/got/f")" = 750 ]
  jail cp web:/tmp/out/f "$W"
  [ "$(cat "$W/f")" = fromjail ]
  head -c 2000000 /dev/urandom >"$W/big"
  jail cp "$W/big" web:/tmp/big
  jail cp web:/tmp/big "$W/big.back"
  cmp "$W/big" "$W/big.back"
}

@test "nothing is left behind" { suite_end; }
