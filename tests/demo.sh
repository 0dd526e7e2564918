#!/usr/bin/env bash
# A guided tour for a stranger: what jail does, shown on real work.
#   tests/demo.sh [JAIL]
# It makes jails under a folder of its own and takes everything away at its end, also when it
# fails or is interrupted.
set -eu
cd "$(dirname "$0")/.."
jail=$(realpath "${1:-build/release/jail}")
[ -x "$jail" ] || { echo "there is no $jail: run make first" >&2; exit 1; }

tour=$(mktemp -d /tmp/jail-demo.XXXXXX)
export JAIL_STATE_DIR="$tour/state" JAIL_RUN_DIR="$tour/run"
mkdir -m 700 "$JAIL_STATE_DIR" "$JAIL_RUN_DIR"

clean_up() {
  code=$?
  trap - EXIT INT TERM HUP
  "$jail" destroy -f '*' >/dev/null 2>&1 || true
  rm -rf --one-file-system "$tour"
  exit $code
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# On a terminal with some colour, elsewhere plain.
if [ -t 1 ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m'); else bold='' dim='' plain=''; fi
chapter() { printf '\n%s== %s ==%s\n' "$bold" "$1" "$plain"; }
say() { printf '%s\n' "$@"; }
# Shows a command and runs it: show jail run -- true
show() {
  printf '%s$ %s%s\n' "$bold" "$(quote "$@")" "$plain"
  if [ "$1" = jail ]; then
    shift
    "$jail" "$@"
  else
    "$@"
  fi
}
# The same where failing is the point.
show_refused() {
  local code=0
  show "$@" || code=$?
  printf '%s(ended with %s)%s\n' "$dim" "$code" "$plain"
  [ "$code" -ne 0 ]
}
quote() {
  local word out=
  for word in "$@"; do
    case $word in *[!a-zA-Z0-9_/.:=,@%+-]* | '') word="'${word//\'/\'\\\'\'}'" ;; esac
    out="$out${out:+ }${word//$tour/\$TOUR}"
  done
  echo "$out"
}
wait_for_server() {
  for _ in $(seq 100); do
    "$jail" exec db "$bin/pg_isready" -q 2>/dev/null && return
    sleep 0.2
  done
  "$jail" logs db
  fail "the server does not answer"
}
fail() { printf 'demo: %s\n' "$1" >&2; exit 1; }

chapter "1. One command you do not trust"
say "The jail sees this host's own tree, read-only. Of what is yours it sees one folder." ""
mkdir "$tour/project"
echo 'int main(void) { return 0; }' >"$tour/project/main.c"
cd "$tour/project"
show jail run -- sh -c 'gcc -o program main.c && ls -l && ls -A ~ | wc -l'
say "" "The compiler was the host's; the program it made is in the folder; home was empty." \
  "What it does to the rest of the tree stays in a layer that goes with the jail:" ""
show jail run -- sh -c 'rm -rf /usr/bin /etc/passwd; ls -d /usr/bin'  || true
show ls -d /usr/bin /etc/passwd
cd - >/dev/null

chapter "2. A jail with a name"
show jail create --host --pids 20 --memory 64M box sleep 1000
show jail start box
show jail ls
say "" "Its processes, as the host numbers them and as the jail does:" ""
show jail ps box

chapter "3. What root inside cannot do"
say "Programs in it run as root, but that root is nobody outside:" ""
show jail exec box sh -c 'id -u; cat /proc/self/uid_map; grep -E "^(CapEff|NoNewPrivs|Seccomp):" /proc/self/status'
show_refused jail exec box mount -t tmpfs none /mnt
show_refused jail exec box sh -c 'echo 1 >/proc/sys/kernel/sysrq'
show_refused jail exec box mknod /dev/sda b 8 0
say "" "The host's password hashes are not there to be read:" ""
show jail exec box wc -c /etc/shadow
say "" "It has no network but its own loopback, and sees no process but its own:" ""
show jail exec box sh -c 'cat /proc/net/dev | tail -n +3 | cut -d: -f1; ls /proc | grep -c "^[0-9]"'

chapter "4. Limits, on by default"
say "This jail may have 20 processes and 64 MiB. More is refused, or ends it:" ""
show_refused jail exec box sh -c 'for i in $(seq 30); do sleep 5 & done; wait' 2>&1 | tail -n 2
show_refused jail exec box sh -c 'head -c 200000000 /dev/zero | tail | wc -c' || true
"$jail" wait box || true
show jail ls
show jail start box
say "" "Limits change while it runs:" ""
show jail set box --memory 128M --pids 100
show jail stats box

chapter "5. What is different from the default?"
show jail inspect box
show jail destroy -f box

chapter "6. A Debian tree with a database in it"
say "mmdebstrap makes the tree; it takes a minute." ""
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
tree="$tour/debian"
show mmdebstrap --quiet --variant=minbase --include=postgresql "$suite" "$tree" ||
  fail "mmdebstrap could not make the tree; it needs a Debian mirror"
version=$(ls "$tree/usr/lib/postgresql")
bin="/usr/lib/postgresql/$version/bin"
say "" "The server in a named jail that stays. The tree is shared and never written to:" ""
show jail create --root "$tree" -u postgres -m 256M --tmpfs /run/postgresql db \
  "$bin/postgres" -D "/var/lib/postgresql/$version/main" -c "config_file=/etc/postgresql/$version/main/postgresql.conf"
show jail start db
wait_for_server
say "" "And a client, under the same rules:" ""
show jail exec db psql -c "create table visits (who text, at timestamptz default now())"
show jail exec db psql -c "insert into visits (who) values ('a stranger')"
show jail exec db psql -c "select who, at is not null as noted from visits"
say "" "Stop asks the server to end, and its data stay until destroy:" ""
show jail stop db
show jail start db
wait_for_server
show jail exec db psql -At -c "select count(*) from visits"
show jail stats db
show jail ps db
show jail stop db
show jail destroy db
show jail ls
[ -z "$("$jail" ls -q)" ] || fail "something is left"

chapter "That was it"
say "Nothing is left: no mount, no group, no process. 'jail' lists the commands, jail(8) tells more."
