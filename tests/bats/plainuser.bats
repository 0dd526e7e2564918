#!/usr/bin/env bats
# The core as a plain user: one made for the test, with and without subordinate ids.
load helpers

setup_file() {
  helpers_build
  export W
  W=$(mktemp -d /tmp/jail-plain.XXXXXX)
  chmod 755 "$W"
  export ROOT="$W/root" PLAIN="jailtest$$" BARE="jailbare$$"
  useradd -M -d "$W/home" -s /bin/sh "$PLAIN"
  useradd -M -d "$W/home2" -s /bin/sh "$BARE"
  # One with ids of its own to give, one with none.
  sed -i "/^$BARE:/d" /etc/subuid /etc/subgid
  grep -q "^$PLAIN:" /etc/subuid || echo "$PLAIN:2000000:65536" >>/etc/subuid
  grep -q "^$PLAIN:" /etc/subgid || echo "$PLAIN:2000000:65536" >>/etc/subgid
  # A tree of the user's own: what belongs to ids that the user was not given cannot be copied up.
  root_build "$ROOT"
  chown -R "$PLAIN:$PLAIN" "$ROOT"
  export BARE_ROOT="$W/bare-root"
  cp -a "$ROOT" "$BARE_ROOT"
  chown -R "$BARE:$BARE" "$BARE_ROOT"
  # The build tree may be closed to others.
  install -m 755 "$JAIL" "$W/jail"
  for u in "$PLAIN" "$BARE"; do
    mkdir -p -m 700 "$W/$u"/{state,run,work,home}
    chown -R "$u:$u" "$W/$u"
  done
}

teardown_file() {
  local u
  for u in "$PLAIN" "$BARE"; do
    timeout -k 2 60 setpriv --reuid "$u" --regid "$u" --clear-groups env -i JAIL_STATE_DIR="$W/$u/state" \
      JAIL_RUN_DIR="$W/$u/run" PATH=/usr/bin:/bin "$W/jail" destroy -f '*' >/dev/null 2>&1 || true
    userdel "$u" 2>/dev/null || true
    sed -i "/^$u:/d" /etc/subuid /etc/subgid
  done
  rm -rf "$W"
}

as() {
  local user=$1
  shift
  (cd "$W/$user/work" && timeout -k 2 60 setpriv --reuid "$user" --regid "$user" --clear-groups env -i \
    HOME="$W/$user/home" JAIL_STATE_DIR="$W/$user/state" JAIL_RUN_DIR="$W/$user/run" PATH=/usr/bin:/bin \
    USER="$user" "$@")
}
plain() { as "$PLAIN" "$W/jail" "$@"; }
bare() { as "$BARE" "$W/jail" "$@"; }

teardown() {
  plain destroy -f '*' >/dev/null 2>&1 || true
  bare destroy -f '*' >/dev/null 2>&1 || true
}

@test "run, with subordinate ids: many users inside" {
  run plain run --root "$ROOT" -- sh -c 'id -u; exit 5'
  [ "$status" -eq 5 ]
  [ "$output" = 0 ]
  run plain run --root "$ROOT" -u user -- id -un
  [ "$status" -eq 0 ]
  [ "$output" = user ]
}

@test "run, with one id" {
  run bare run --root "$BARE_ROOT" -- sh -c 'echo ran; exit 6'
  [ "$status" -eq 6 ]
  [ "${lines[-1]}" = ran ]
}

@test "the host's tree with the working folder; files made belong to the caller" {
  for u in "$PLAIN" "$BARE"; do
    run as "$u" "$W/jail" run -- sh -c 'echo data >made; pwd'
    [ "$status" -eq 0 ] || { echo "$output"; false; }
    [ "$(stat -c %U "$W/$u/work/made")" = "$u" ]
  done
}

@test "home is hidden" {
  as "$PLAIN" sh -c 'echo secret >"$HOME/secret"'
  run plain run -- sh -c "cat $W/$PLAIN/home/secret"
  [[ $output != *secret$'\n'* ]]
  [ "$status" -ne 0 ]
}

@test "create, start, exec, logs, stop, destroy" {
  plain create --root "$ROOT" web sh -c 'echo hello; exec sleep 1000'
  plain start web
  run plain exec web echo inside
  [ "$output" = inside ]
  for _ in $(seq 100); do plain logs web | grep -q hello && break; sleep 0.1; done
  plain logs web | grep -q hello
  run plain ps web
  [[ $output == *"sleep 1000"* ]]
  plain stop -t 0 web
  plain destroy web
  [ -z "$(plain ls -q)" ]
}

@test "exec is under the same policy" {
  plain create --root "$ROOT" web sleep 1000
  plain start web
  run plain exec web sh -c 'grep -E "^(CapBnd|NoNewPrivs|Seccomp):" /proc/self/status'
  [[ $output == *"NoNewPrivs:"*1* ]]
  [[ $output == *"Seccomp:"*2* ]]
  plain destroy -f web
}

@test "limits that do not hold are said to be soft, by name" {
  plain create --root "$ROOT" web sleep 1000
  plain start web
  if [ "$(plain ls --format json | json 'x[0]["soft_limits"]')" = true ]; then
    run plain inspect --format json web
    [[ $output == *memory* ]]
  else
    [ "$(plain stats --format json web | json 'x[0]["pids_limit"]')" = 512 ]
  fi
  plain destroy -f web
}

@test "two users do not see each other's jails" {
  plain create --root "$ROOT" mine sleep 1000
  [ -z "$(bare ls -q)" ]
  run as "$BARE" env JAIL_STATE_DIR="$W/$PLAIN/state" JAIL_RUN_DIR="$W/$PLAIN/run" "$W/jail" ls
  [ "$status" -eq 125 ]
  plain destroy mine
}

@test "the dangerous calls are refused here too" {
  run plain run --root "$ROOT" -- /t/probe_calls refused
  [ -z "$(awk '$2 != 1 && $2 != 38' <<<"$output")" ]
  run plain run --root "$ROOT" -- /t/probe_calls clones
  [[ $output == *"newuser 1"* ]]
}

@test "a volume is the caller's both ways" {
  as "$PLAIN" sh -c 'mkdir -p v && echo given >v/f'
  run plain run --root "$ROOT" -v "$W/$PLAIN/work/v:/v" -- sh -c 'cat /v/f; echo back >/v/g'
  [ "${lines[-1]}" = given ]
  [ "$(stat -c %U "$W/$PLAIN/work/v/g")" = "$PLAIN" ]
}

@test "cp in and out" {
  plain create --root "$ROOT" web sleep 1000
  plain start web
  as "$PLAIN" sh -c 'echo x >in'
  plain cp "$W/$PLAIN/work/in" web:/tmp/in
  plain cp web:/tmp/in "$W/$PLAIN/work/out"
  [ "$(cat "$W/$PLAIN/work/out")" = x ]
  [ "$(stat -c %U "$W/$PLAIN/work/out")" = "$PLAIN" ]
  plain destroy -f web
}

@test "wrong input is one line and 125 here too" {
  run --separate-stderr plain run --memory 12X --root "$ROOT" -- true
  [ "$status" -eq 125 ]
  [ "${#stderr_lines[@]}" -eq 1 ]
}

@test "nothing is left behind" {
  plain destroy -f '*' 2>/dev/null || true
  left=$(find "$W/$PLAIN/run" "$W/$PLAIN/state" -mindepth 2 | grep -v -E '/(index|events|ids|lock|filters)' || true)
  echo "$left"
  [ -z "$left" ]
  none() { ! pgrep -u "$PLAIN,$BARE" >/dev/null; }
  eventually 10 none
}
