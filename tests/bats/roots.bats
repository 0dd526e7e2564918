#!/usr/bin/env bats
# Roots: shared bases, private layers, hostile trees (security.md B).
load helpers

setup_file() {
  suite_begin
  # What a hostile tree would like to reach: nothing of it may change.
  mkdir -p "$W/victim/sub" && echo untouched >"$W/victim/file" && chmod 700 "$W/victim"
}
teardown() { suite_between; }

victim() { (cd "$W/victim" && find . -printf '%p %y %m %U %G %s %l\n' | sort; cat file); }
fresh() { rm -rf "$W/bad" && cp -a "$ROOT" "$W/bad"; }

# Runs in the tree, both shared and :rw: the victim stays as it was, whatever the status.
hold() {
  local before
  before=$(victim)
  for root in "$W/bad" "$W/bad:rw"; do
    jail run --root "$root" "$@" -- sh -c 'echo ran; touch /tmp/x /dev/shm/x 2>/dev/null; true' >"$W/hold.out" 2>&1 || true
    [ "$before" = "$(victim)" ] || { victim; return 1; }
    [ "$(wc -l <"$W/hold.out")" -le 2 ] || { cat "$W/hold.out"; return 1; }
    grep -q -e '^ran$' -e '^jail: ' "$W/hold.out" || { cat "$W/hold.out"; return 1; }
  done
}

@test "one base serves many jails, each with its own layer" {
  for i in 1 2 3 4 5; do jail create --root "$ROOT" j$i sleep 1000; done
  jail start 'j*'
  for i in 1 2 3 4 5; do jail exec j$i sh -c "echo $i >/etc/mine"; done
  for i in 1 2 3 4 5; do
    run jail exec j$i cat /etc/mine
    [ "$output" = $i ]
  done
  [ ! -e "$ROOT/etc/mine" ]
}

@test "B1 system folders that are symlinks, absolute and relative" {
  for entry in dev proc sys tmp etc run dev/pts dev/shm; do
    for target in "$W/victim" "../../../../../../../../$W/victim" /oldroot/.. /proc/1/root; do
      fresh
      rm -rf "$W/bad/${entry:?}"
      mkdir -p "$(dirname "$W/bad/$entry")"
      ln -s "$target" "$W/bad/$entry"
      hold || { echo "$entry -> $target"; false; }
    done
  done
}

@test "B1 control: the careless way does write through such a symlink" {
  fresh
  rm -rf "$W/bad/dev"
  ln -s "$W/victim" "$W/bad/dev"
  before=$(victim)
  mkdir -p "$W/bad/dev/pts"
  [ "$before" != "$(victim)" ]
  rmdir "$W/victim/pts"
}

@test "B2 masks do not come from the image's /dev/null" {
  fresh
  rm -f "$W/bad/dev/null"
  ln -s /t/marker "$W/bad/dev/null"
  run jail run --root "$W/bad" --mask /etc/passwd -- sh -c 'cat /etc/passwd; cat /proc/kcore | head -c 10; cat /dev/null; stat -c %t:%T /dev/null'
  [[ $output != *marker* ]]
  [[ $output == *1:3* ]]
}

@test "B3 the console does not come from the image" {
  fresh
  rm -rf "$W/bad/dev"
  mkdir "$W/bad/dev"
  ln -s "$W/victim/file" "$W/bad/dev/console"
  hold
  run term 'expect=ran' -- "$JAIL" run --root "$W/bad" -- sh -c 'tty; echo ran; echo x >/dev/console; true'
  [ "$(cat "$W/victim/file")" = untouched ]
}

@test "B5 a file where a folder should be" {
  for entry in dev proc sys; do
    fresh
    rm -rf "$W/bad/${entry:?}"
    echo x >"$W/bad/$entry"
    hold || { echo "$entry"; false; }
  done
}

@test "B6 B7 B8 a volume's destination that is swapped for a symlink all the time" {
  fresh
  mkdir -p "$W/shared/real" "$W/shared/x"
  ln -sfn "$W/victim" "$W/shared/link"
  "$JAIL_BUILD/helpers/probe_procs" swap "$W/shared" real link &
  swapper=$!
  before=$(victim)
  for _ in $(seq 30); do
    jail run --root "$W/bad" -v "$W/shared:/shared" -v "$ROOT/etc:/shared/real/made" -- true >/dev/null 2>&1 || true
    [ "$before" = "$(victim)" ] || break
  done
  kill -KILL $swapper
  wait $swapper 2>/dev/null || true
  [ "$before" = "$(victim)" ]
}

@test "B7 a destination below a symlink of the image lands inside" {
  fresh
  ln -s "$W/victim" "$W/bad/w"
  before=$(victim)
  run jail run --root "$W/bad" -v "$ROOT/etc:/w/made/deep" -- true
  [ "$before" = "$(victim)" ]
}

@test "B10 a working folder below a symlink of the image" {
  fresh
  ln -s "$W/victim" "$W/bad/w"
  before=$(victim)
  run jail run --root "$W/bad" --cwd /w/sub -- sh -c 'ls; touch here'
  [ "$before" = "$(victim)" ]
}

@test "B16 mounts of the host do not come in, those inside do not go out" {
  up web -v "$W/victim:/v"
  before=$(wc -l </proc/self/mountinfo)
  mount -t tmpfs none "$W/victim/sub"
  touch "$W/victim/sub/hostonly"
  run jail exec web ls /v/sub
  umount "$W/victim/sub"
  [[ $output != *hostonly* ]]
  [ "$before" = "$(wc -l </proc/self/mountinfo)" ]
  run jail exec web sh -c 'grep -c -E "shared:" /proc/self/mountinfo'
  [ "${output//[^0-9]/}" = 0 ]
}

@test "B17 the old root is gone" {
  echo secret >"$W/host-marker"
  run weakly sh -c "mkdir -p /x; ls /proc/1/root/.. >/dev/null && echo reached"
  [ "$output" = reached ]
  run inside sh -c "exec 2>/dev/null; cat /../../../..$W/host-marker /proc/1/root/..$W/host-marker /proc/self/root/../..$W/host-marker; cut -d' ' -f5 /proc/self/mountinfo"
  [[ $output != *secret* ]]
  [[ $output != *"$W"* ]]
  [[ $output != *oldroot* ]]
}

@test "B18 B19 volumes: submounts read-only with ro; no devices, no set-user-id" {
  mkdir -p "$W/v2/sub"
  mount -t tmpfs none "$W/v2/sub"
  cp "$ROOT/bin/busybox" "$W/v2/suid"
  chmod 4755 "$W/v2/suid"
  mknod "$W/v2/node" c 1 3
  run jail run --root "$ROOT" -v "$W/v2:/v:ro" -- sh -c 'touch /v/a; touch /v/sub/b; grep " /v" /proc/self/mountinfo; cat /v/node'
  out=$output
  made=$(ls "$W/v2/sub")
  umount "$W/v2/sub"
  [ -z "$made" ]
  [ "$(grep -c 'nosuid,nodev' <<<"$out")" -ge 2 ]
  [[ $out == *"denied"* ]]
}

@test "a tree without anything but the program" {
  mkdir -p "$W/bare"
  cp /bin/busybox "$W/bare/true"
  run jail run --root "$W/bare" -- /true
  [ "$status" -eq 0 ]
}

@test "a root that cannot be one: a file, missing, /proc" {
  refused_saying "'$W/root/etc/passwd'" run --root "$W/root/etc/passwd" -- true
  refused_saying "'$W/none'" create --root "$W/none" x true
  [ -z "$(jail ls -q)" ]
}

@test "a root that vanishes after create is named at start, and destroy works" {
  cp -a "$ROOT" "$W/going"
  jail create --root "$W/going" g sleep 1000
  rm -rf "$W/going"
  refused_saying "'$W/going'" start g
  jail destroy g
}

@test "destroy never crosses into a mounted folder" {
  mkdir -p "$W/precious/d" && echo precious >"$W/precious/d/f"
  up web -v "$W/precious:/p"
  jail exec web sh -c 'ls /p/d'
  jail destroy -f web
  [ "$(cat "$W/precious/d/f")" = precious ]
  # Even when the host mounted something into the kept layer itself.
  jail create --root "$ROOT" web sleep 1000
  jail start web
  jail exec web mkdir -p /mnt/there
  jail stop -t 0 web
  there=$(find "$JAIL_STATE_DIR" -type d -path '*mnt/there' | head -n 1)
  [ -n "$there" ]
  mount --bind "$W/precious" "$there"
  run --separate-stderr jail destroy web
  [ "$(cat "$W/precious/d/f")" = precious ]
  # Where it refuses, it says so, and the jail is still there.
  there=$(awk -v w="$W/" 'index($5, w) && /mnt.there/ {print $5}' /proc/self/mountinfo)
  code=$status said=$stderr
  [ -z "$there" ] || umount "$there"
  [ "$code" -eq 125 ]
  [[ $said == *mounted* ]]
  [ "$(jail ls -q)" = web ]
  jail destroy web
}

@test "names with ',' ':' '=' spaces and backslashes in paths" {
  odd="$W/o,d=d lo\\werdir"
  cp -a "$ROOT" "$odd"
  run jail run --root "$odd" -- cat /t/marker
  [ "$status" -eq 0 ]
  [ "$output" = marker ]
  run jail run --root "$odd" -v "$odd/etc:/v:ro" -- cat /v/passwd
  [ "$status" -eq 0 ]
}

@test "ids inside own their files, over a start and in the base" {
  up web
  run jail exec web stat -c '%u:%g %n' /etc/passwd /home/user /bin/busybox
  [ "${lines[0]}" = "0:0 /etc/passwd" ]
  [ "${lines[1]}" = "1000:1000 /home/user" ]
}

@test "nothing is left behind" { suite_end; }
