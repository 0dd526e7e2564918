#!/usr/bin/env bats
# A person at a terminal.
load helpers

setup_file() { suite_begin; }
teardown() { suite_between; }

@test "run gives a terminal when there is one, and puts ours back" {
  run term 'expect=/dev/pts' 'expect=# ' 'send=exit 5\n' -- "$JAIL" run --root "$ROOT" -- sh -c 'tty; exec sh'
  [[ $output == *"[status 5]"* ]]
  [[ $output == *"[cooked]"* ]]
}

@test "no terminal when asked not to, or when it is a pipe" {
  run term 'expect=not a tty' -- "$JAIL" run --no-tty --root "$ROOT" -- sh -c 'tty; true'
  [ "$status" -eq 0 ]
  run bash -c '"$JAIL" run --root "$ROOT" -- tty </dev/null | cat'
  [[ $output == *"not a tty"* ]]
}

@test "size at the start and after a change" {
  run term 'expect=size 80x24' 'size=101x33' 'expect=size 101x33' 'signal=TERM' -- "$JAIL" run --root "$ROOT" -- /t/probe_procs size
  [ "$status" -eq 0 ]
}

@test "ctrl-c goes to the program, not to jail" {
  run term 'expect=ready' 'send=\x03' 'expect=got INT' -- "$JAIL" run --root "$ROOT" -- /t/probe_procs trap
  [[ $output == *"[status 7]"* ]]
}

@test "exec with a terminal; the jail's own has it too" {
  up web
  run term 'expect=/dev/pts' 'expect=# ' 'send=stty size; exit 4\n' 'expect=24 80' -- "$JAIL" exec web sh -c 'tty; exec sh'
  [[ $output == *"[status 4]"* ]]
  [[ $output == *"[cooked]"* ]]
}

@test "detach leaves it running, console attaches again" {
  run term 'expect=# ' 'send=echo one=$((1+0))\n' 'expect=one=1' 'send=\x10\x11' 'expect=detached' -- \
    "$JAIL" run -n kept --root "$ROOT" -- sh
  [[ $output == *"[status 0]"* ]]
  [[ $output == *"[cooked]"* ]]
  is_state kept running
  run term 'send=echo two=$((1+1))\n' 'expect=two=2' 'send=exit 6\n' -- "$JAIL" console kept
  [[ $output == *"[status 6]"* ]]
}

@test "other detach keys, or none" {
  run term 'expect=# ' 'send=\x01' 'expect=detached' -- "$JAIL" run -n kept --detach-keys ctrl-a --root "$ROOT" -- sh
  [ "$status" -eq 0 ]
  jail destroy -f kept
  refused run --detach-keys nonsense --root "$ROOT" -t -- true
}

@test "a jail made with a terminal: start, console" {
  jail create -t --root "$ROOT" shell sh
  jail start shell
  run term 'send=echo three=$((1+2))\n' 'expect=three=3' 'send=\x10\x11' 'expect=detached' -- "$JAIL" console shell
  [ "$status" -eq 0 ]
  is_state shell running
}

@test "console on a jail without a terminal says so" {
  up web
  refused_saying "'web'" console web
}

@test "M5 the jail goes on when the terminal hangs up" {
  run term 'expect=# ' hangup -- "$JAIL" run -n kept --root "$ROOT" -- sh -c 'trap "" HUP; exec sh'
  is_state kept running
}

@test "the terminal is put back when jail is ended by a signal" {
  run term 'expect=ready' 'signal=TERM' -- "$JAIL" run -n kept --root "$ROOT" -- sh -c 'echo ready; exec cat'
  [[ $output == *"[status 143]"* ]]
  [[ $output == *"[cooked]"* ]]
}

@test "the terminal is put back when the jail is killed from elsewhere" {
  (eventually 10 is_state kept running && jail kill kept) &
  run term 'expect=# ' -- "$JAIL" run -n kept --root "$ROOT" -- sh
  [[ $output == *"[status 137]"* ]]
  [[ $output == *"[cooked]"* ]]
}

@test "F4 the caller's terminal cannot be written to from inside" {
  run term 'expect=TIOCSTI-high' -- "$JAIL" run --root "$ROOT" -- /t/probe_calls ioctls
  [[ $output == *"TIOCSTI 1"* ]]
  [[ $output == *"TIOCSTI-high 1"* ]]
}

@test "M2 a hundred size changes and attaches keep the supervisor's descriptors flat" {
  jail create -t --root "$ROOT" shell sh
  jail start shell
  sup=$(supervisor_of shell)
  run term 'send=\n' 'expect=# ' 'send=\x10\x11' 'expect=detached' -- "$JAIL" console shell
  before=$(ls /proc/"$sup"/fd | wc -l)
  for _ in $(seq 10); do
    run term 'send=\n' 'expect=# ' 'size=90x20' 'size=91x21' 'send=\x10\x11' 'expect=detached' -- "$JAIL" console shell
  done
  [ "$(ls /proc/"$sup"/fd | wc -l)" -le "$before" ]
}

@test "nothing is left behind" { suite_end; }
