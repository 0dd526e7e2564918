#!/usr/bin/env bats
# jail run: what a program sees of the host, what it leaves, what it says at its end.
load helpers

setup_file() { suite_begin; }
teardown() { suite_between; }

@test "the program's exit status is jail's" {
  for code in 0 1 7 124 255; do
    run inside sh -c "exit $code"
    [ "$status" -eq "$code" ]
  done
}

@test "a signal's number is told as 128+n" {
  for sig in 9 11 15; do
    run inside /t/probe_procs signal $sig
    [ "$status" -eq $((128 + sig)) ] || { echo "signal $sig: $status"; false; }
  done
}

@test "the same without our init" {
  run jail run --no-init --root "$ROOT" -- sh -c 'exit 9'
  [ "$status" -eq 9 ]
  run jail run --no-init --root "$ROOT" -- sh -c 'echo $$'
  [ "$output" = 1 ]
}

@test "not there is 127, not executable 126, jail's own failure 125" {
  run --separate-stderr inside /no/such
  [ "$status" -eq 127 ]
  [[ $stderr == "jail: "*"'/no/such'"* ]]
  [ "${#stderr_lines[@]}" -eq 1 ]
  run --separate-stderr inside nosuchprogram
  [ "$status" -eq 127 ]
  run --separate-stderr inside /etc/passwd
  [ "$status" -eq 126 ]
  [[ $stderr == "jail: "*"'/etc/passwd'"* ]]
  run --separate-stderr inside /etc
  [ "$status" -eq 126 ]
  run --separate-stderr jail run --root "$W/nothing" -- true
  [ "$status" -eq 125 ]
  [[ $stderr == "jail: "*"$W/nothing"* ]]
}

@test "standard input, output and error pass through, whole" {
  head -c 3000000 /dev/urandom >"$W/big"
  jail run --root "$ROOT" -- cat <"$W/big" >"$W/back"
  cmp "$W/big" "$W/back"
  run --separate-stderr inside sh -c 'echo out; echo err >&2'
  [ "$output" = out ]
  [ "$stderr" = err ]
}

@test "a closed output does not hang it" {
  run bash -c '"$JAIL" run --root "$ROOT" -- yes | head -n 1'
  [ "$output" = y ]
}

@test "nothing of the caller's environment, umask, signals comes in but what is asked for" {
  SECRET=hidden run jail run --root "$ROOT" -e GIVEN=1 -e TAKEN -- env
  [ "$status" -eq 125 ]
  SECRET=hidden TAKEN=2 run jail run --root "$ROOT" -e GIVEN=1 -e TAKEN -- env
  [ "$status" -eq 0 ]
  [[ $output != *SECRET* ]]
  [[ $output == *GIVEN=1* ]]
  [[ $output == *TAKEN=2* ]]
  run bash -c 'trap "" PIPE INT; umask 077; "$JAIL" run --root "$ROOT" -- /t/probe_procs umask'
  [ "$output" = "umask 022" ] || { echo "$output"; false; }
}

@test "a value with a newline stays one variable" {
  run jail run --root "$ROOT" -e "A=one
B=two" -- sh -c 'echo "$A" | wc -l; echo "B=$B"'
  [ "${lines[0]//[^0-9]/}" = 2 ]
  [ "${lines[1]}" = "B=" ]
}

@test "a root directory is never written to" {
  before=$(cd "$ROOT" && find . | sort | sha256sum)
  run inside sh -c 'echo x >/etc/new && rm /t/marker && mkdir /fresh && cat /etc/new'
  [ "$status" -eq 0 ]
  [ "$output" = x ]
  [ "$before" = "$(cd "$ROOT" && find . | sort | sha256sum)" ]
  [ "$(cat "$ROOT/t/marker")" = marker ]
}

@test "with :rw it is written to" {
  cp -a "$ROOT" "$W/rw"
  run jail run --root "$W/rw:rw" -- sh -c 'echo x >/etc/new'
  [ "$status" -eq 0 ]
  [ "$(cat "$W/rw/etc/new")" = x ]
}

@test "the host's tree: the working folder is visible, home and the rest are not" {
  mkdir -p "$W/project" && echo data >"$W/project/file"
  secret=$(mktemp -p "$HOME" .jail-test-secret.XXXXXX)
  cd "$W/project"
  run jail run -- sh -c 'pwd; cat file; echo made >made; ls -A ~ | wc -l; ls '"$secret"
  rm -f "$secret"
  [ "${lines[0]}" = "$W/project" ]
  [ "${lines[1]}" = data ]
  [ "$(cat "$W/project/made")" = made ]
  [[ $output == *"No such file"* ]]
}

@test "files made in the working folder belong to the caller" {
  mkdir -p "$W/own" && cd "$W/own"
  run jail run -- sh -c 'echo x >made'
  [ "$status" -eq 0 ]
  [ "$(stat -c %u "$W/own/made")" = "$(id -u)" ]
}

@test "the host's tree is not changed by what a program does to it" {
  cd "$W"
  run jail run -- sh -c 'echo x >/etc/jail-test-was-here && cat /etc/jail-test-was-here; rm -f /etc/hostname; ls /etc/hostname'
  [ "${lines[0]}" = x ]
  [ ! -e /etc/jail-test-was-here ]
  [ -e /etc/hostname ]
}

@test "in / or in home nothing is shown unasked, and that is said" {
  cd /
  run --separate-stderr jail run -- sh -c 'touch /jail-test-was-here; echo ok'
  [ "$output" = ok ]
  [[ $stderr == "jail: '/' holds more than one project"* ]]
  [ ! -e /jail-test-was-here ]
  cd "$HOME"
  run --separate-stderr jail run -- true
  [[ $stderr == *"--work DIR"* ]]
}

@test "secrets of the host are not readable" {
  cd "$W"
  [ -r /etc/shadow ]
  run jail run -- cat /etc/shadow
  [ "$status" -ne 0 ] || [ -z "$output" ]
}

@test "a volume is read and written, a read-only one is not, deeply" {
  mkdir -p "$W/vol/sub"
  mount -t tmpfs none "$W/vol/sub"
  run jail run --root "$ROOT" -v "$W/vol:/data" -- sh -c 'echo x >/data/a && echo y >/data/sub/b'
  run jail run --root "$ROOT" -v "$W/vol:/data:ro" -- sh -c 'cat /data/a; echo z >/data/a; echo z >/data/sub/b'
  out=$output st=$status b=$(cat "$W/vol/sub/b" 2>/dev/null)
  umount "$W/vol/sub"
  [ "$st" -ne 0 ]
  [[ $out == *"Read-only"* ]]
  [ "$(cat "$W/vol/a")" = x ]
  [ "$b" != z ]
}

@test "a file can be a volume, and a destination that is missing is made" {
  echo one >"$W/single"
  run jail run --root "$ROOT" -v "$W/single:/not/yet/there:ro" -- cat /not/yet/there
  [ "$output" = one ]
  [ ! -e "$ROOT/not" ]
}

@test "--tmpfs, --mask and --readonly" {
  run jail run --root "$ROOT" --tmpfs /scratch:size=1M -- sh -c 'dd if=/dev/zero of=/scratch/f bs=1024 count=4096 2>&1'
  [[ $output == *"No space"* ]]
  run jail run --root "$ROOT" --mask /etc/passwd --readonly /etc -- sh -c 'wc -c </etc/passwd; touch /etc/x'
  [ "${lines[0]//[^0-9]/}" = 0 ]
  [[ $output == *"Read-only"* ]]
}

@test "user by name and by number, with the groups of the jail" {
  run jail run --root "$ROOT" -u user -- id
  [[ $output == "uid=1000(user) gid=1000(user) groups="* ]]
  [[ $output == *"50(staff)"* ]]
  [[ $output == *"1001(extra)"* ]]
  run jail run --root "$ROOT" -u 1000:50 -- sh -c 'id -u; id -g'
  [ "${lines[0]}" = 1000 ]
  [ "${lines[1]}" = 50 ]
}

@test "the host name is the jail's, or as asked" {
  run jail run -n named --root "$ROOT" -- hostname
  [ "$output" = named ]
  run jail run --hostname other --root "$ROOT" -- hostname
  [ "$output" = other ]
}

@test "--cwd; a folder that is missing is made, in the private layer" {
  run jail run --root "$ROOT" --cwd /home/user -- pwd
  [ "$output" = /home/user ]
  run jail run --root "$ROOT" --cwd /not/there -- pwd
  [ "$output" = /not/there ]
  [ ! -e "$ROOT/not" ]
}

@test "detached: the name is printed, the log kept, the end takes all away" {
  run jail run -d --root "$ROOT" -- sh -c 'echo hello; exec sleep 1000'
  [ "$status" -eq 0 ]
  [ "${#lines[@]}" -eq 1 ]
  name=$output
  eventually 10 log_has "$name" hello
  is_state "$name" running
  jail stop -t 0 "$name"
  refused_saying "'$name'" inspect "$name"
}

@test "--time stops it" {
  run jail run --time 300ms --stop-timeout 0 --root "$ROOT" -- sleep 1000
  [ "$status" -ge 128 ] || { echo "$status: $output"; false; }
}

@test "signals sent to the command reach the program" {
  "$JAIL" run --root "$ROOT" -- /t/probe_procs trap >"$W/trap.out" &
  pid=$!
  eventually 10 grep -q ready "$W/trap.out"
  kill -USR1 $pid
  eventually 10 grep -q "got USR1" "$W/trap.out"
  kill -TERM $pid
  code=0
  wait $pid || code=$?
  [ "$code" -eq 7 ]
  grep -q "got TERM" "$W/trap.out"
}

@test "a shell is the default program" {
  run bash -c 'echo "echo from \$0" | "$JAIL" run --root "$ROOT"'
  [[ $output == "from /bin/sh"* ]]
}

@test "a name that is taken is refused, and the one that has it is not touched" {
  up taken
  refused_saying "taken" run -n taken --root "$ROOT" -- true
  is_state taken running
}

@test "only loopback is there, and it is up" {
  run inside ip -o link
  [ "$(grep -c . <<<"$output")" -eq 1 ]
  [[ $output == *"lo:"*UP* ]]
}

@test "--trace writes the stages with times" {
  run jail run --trace "$W/trace" --root "$ROOT" -- true
  [ "$status" -eq 0 ]
  [ "$(wc -l <"$W/trace")" -ge 5 ]
}

@test "nothing is left behind" { suite_end; }
