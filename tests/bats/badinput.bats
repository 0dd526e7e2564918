#!/usr/bin/env bats
# Wrong input: one line naming object, cause and remedy; status 125; nothing created or lost.
load helpers

setup_file() { suite_begin; }
setup() { BEFORE=$(find "$JAIL_STATE_DIR" "$JAIL_RUN_DIR" | grep -v -E '/(index|events|ids|lock)' | sort); }
teardown() { suite_between; }

nothing_made() {
  [ -z "$(jail ls -q)" ] || return 1
  local now
  now=$(find "$JAIL_STATE_DIR" "$JAIL_RUN_DIR" | grep -v -E '/(index|events|ids|lock)' | sort)
  [ "$BEFORE" = "$now" ] || { diff <(echo "$BEFORE") <(echo "$now"); return 1; }
}

@test "N1 names" {
  long=$(printf 'a%.0s' $(seq 65))
  for name in ../x . .. a/b '' -rf ' ' 'a b' "a
b" $'\033[31m' "$long" "$(printf 'a%.0s' $(seq 10000))" 'ü' 'a*' ':' '_x'; do
    refused create --root "$ROOT" -- "$name" true || { echo "name '$name'"; false; }
    [[ $stderr != *$'\033'* ]]
    refused run -n "$name" --root "$ROOT" -- true || { echo "run name '$name'"; false; }
  done
  nothing_made
}

@test "N1 wrong names to look up neither find nor hang" {
  for name in ../x . / '' "$(printf 'a%.0s' $(seq 5000))"; do
    refused inspect -- "$name"
    refused destroy -f -- "$name"
  done
}

@test "values of options" {
  while read -r option value; do
    refused run "$option" "$value" --root "$ROOT" -- true || { echo "$option $value"; false; }
    # The option, with '-' or in words, or the value.
    named=${option#--}
    lower=${stderr,,}
    [[ ${lower//-/ } == *"${named//-/ }"* || $stderr == *"'${value%%:*}"* ]] || { echo "does not name $option: $stderr"; false; }
  done <<'END'
--memory 12X
--memory -1
--memory 99999999999999999999
--memory 1
--swap lots
--pids 0
--pids -5
--pids 1.5
--cpu 0
--cpu many
--cpu-weight 0
--cpu-weight 10001
--io-weight 0
--cpuset 0-
--cpuset 3-1
--cpuset x
--rlimit nofile
--rlimit nosuch=1
--rlimit nofile=5:4
--time soon
--stop-signal SIGNOTHING
--stop-timeout -1
--restart sometimes
--restart on-failure:x
--log big
--net bridge
--isolation tank
--sys rw
--cap-add CAP_NOTHING
--cap-drop nothing
--allow everything
--seccomp nosuch
--device /etc/passwd
--device /dev/nosuch
--volume /only
--volume :/x
--volume /etc:relative
--volume /etc:/x:wrong
--volume /nosuch-source:/x
--tmpfs relative
--tmpfs /x:size=big
--tmpfs /x:colour=red
--mask relative
--readonly relative/path
--cwd relative
--label novalue
--env =x
--hostname -bad-
--read-bps /dev/nosuch:1M
--read-bps 1M
--user 4294967296
--user -1
--user 18446744073709551616
--user 0:4294967296
--user nosuchuser
--user user:nosuchgroup
--user :
END
  nothing_made
}

@test "values that contradict each other" {
  refused run --detach --tty --root "$ROOT" -- true
  refused run --host --root "$ROOT" --root "$W/none" -- true
  nothing_made
}

@test "options without a value, and too few or too many words" {
  refused_saying "needs a value" run --memory
  for c in start stop kill restart pause resume destroy exec console logs inspect wait set create rename cp; do
    refused_saying "too few arguments" $c
  done
  refused_saying "too many arguments" rename a b c
  refused_saying "too many arguments" version x
  refused_saying "no limit is given" set x
}

@test "cp wants one side in a jail" {
  refused_saying "JAIL:PATH" cp /a /b
  refused_saying "JAIL:PATH" cp a:/a b:/b
  up web
  refused_saying "must begin with '/'" cp web:etc /tmp
  refused_saying "/no/such" cp web:/no/such "$W/out"
  refused_saying "$W/nosuch" cp "$W/nosuch" web:/tmp/x
  [ ! -e "$W/out" ]
}

@test "N2 a definition that is garbage, empty, a link, a fifo or a folder" {
  jail create --root "$ROOT" good sleep 1000
  for kind in garbage empty truncated link fifo folder unknown; do
    jail create --root "$ROOT" bad sleep 1000
    file=$(find "$JAIL_STATE_DIR" -path '*/bad/jail.json')
    [ -n "$file" ]
    cp "$file" "$W/definition"
    rm -f "$file"
    case $kind in
    garbage) head -c 500 /dev/urandom >"$file" ;;
    empty) : >"$file" ;;
    truncated) head -c 40 "$W/definition" >"$file" ;;
    link) ln -s /etc/shadow "$file" ;;
    fifo) mkfifo "$file" ;;
    folder) mkdir "$file" ;;
    unknown) sed 's/{/{"nonsense": 1, /' "$W/definition" >"$file" ;;
    esac
    run timeout -k 2 20 "$JAIL" ls
    [ "$status" -eq 0 ] || { echo "$kind: ls $status $output"; false; }
    [[ $output == *good* ]]
    [[ $output != *root:* ]]
    refused_saying "'bad'" start bad || { echo "$kind"; false; }
    [[ $stderr != *root:* ]]
    is_state good created
    run timeout -k 2 20 "$JAIL" destroy -f bad
    [ "$status" -eq 0 ] || { echo "$kind: $output"; false; }
  done
  jail destroy good
}

@test "running state that is garbage: the next command understands" {
  up web
  pids="$(pid_of web) $(supervisor_of web)"
  for f in $(find "$JAIL_RUN_DIR" -type f ! -name lock); do head -c 300 /dev/urandom >"$f"; done
  run timeout -k 2 30 "$JAIL" ls
  [ "$status" -eq 0 ]
  run timeout -k 2 30 "$JAIL" destroy -f web
  [ "$status" -eq 0 ]
  [ -z "$(jail ls -q)" ]
  ended() { ! kill -0 ${pids% *} 2>/dev/null && ! kill -0 ${pids#* } 2>/dev/null; }
  code=0
  eventually 10 ended || code=1
  [ $code -eq 0 ] || kill -KILL $pids
  [ $code -eq 0 ]
}

@test "a state folder that others may write is refused" {
  mkdir -m 777 -p "$W/open"
  JAIL_STATE_DIR="$W/open" refused_saying "'$W/open'" ls
  mkdir -p "$W/theirs" && chown 1000 "$W/theirs"
  JAIL_STATE_DIR="$W/theirs" refused_saying "'$W/theirs'" ls
}

@test "a full disk: one line, nothing half made" {
  mkdir -p "$W/small"
  mount -t tmpfs -o size=2M,mode=700 none "$W/small"
  (
    export JAIL_STATE_DIR="$W/small/s" JAIL_RUN_DIR="$W/small/r"
    mkdir -m 700 "$JAIL_STATE_DIR" "$JAIL_RUN_DIR"
    "$JAIL" ls >/dev/null 2>&1 || true
    dd if=/dev/zero of="$W/small/fill" bs=1024 count=4096 2>/dev/null || true
    run --separate-stderr "$JAIL" create --root "$ROOT" web true
    [ "$status" -eq 125 ]
    [ "${#stderr_lines[@]}" -eq 1 ]
    rm "$W/small/fill"
    [ -z "$("$JAIL" ls -q)" ]
    "$JAIL" create --root "$ROOT" web true
    "$JAIL" destroy web
  )
  umount "$W/small"
}

@test "N7 messages show names with escapes made visible and no file contents" {
  run --separate-stderr jail inspect $'\033[31mred\n'
  [[ $stderr == *'\x1b[31mred\x0a'* ]]
  echo 'secret content' >"$W/profile.json"
  refused run --seccomp "$W/profile.json" --root "$ROOT" -- true
  [[ $stderr != *"secret content"* ]]
}

@test "a program that is a folder, empty, or not a program" {
  run --separate-stderr inside ''
  [ "$status" -ge 125 ]
  printf 'not a program' >"$W/junk"
  chmod 755 "$W/junk"
  run --separate-stderr jail run --root "$ROOT" -v "$W/junk:/junk" -- /junk
  [ "$status" -eq 126 ]
}

@test "closed standard descriptors" {
  for close in '0<&-' '1>&-' '2>&-' '0<&- 1>&- 2>&-'; do
    run bash -c "\"\$JAIL\" run --root \"\$ROOT\" -- true $close"
    [ "$status" -eq 0 ] || { echo "$close: $status $output"; false; }
  done
}

@test "nothing is left behind" { suite_end; }
