#!/usr/bin/env bats
# Images come in, whole or not at all.

setup() {
  W=$(mktemp -d /var/tmp/jail-image-XXXXXX)
  S=$W/store
  FIXTURES=$BATS_TEST_DIRNAME/image_fixtures.py
  [ -x "$JAIL_BUILD/jail-image" ] || { echo "jail-image is not built"; return 1; }
}

teardown() {
  rm -rf "$W"
}

# image COMMAND ARGS...: never longer than a minute.
image() {
  local c=$1
  shift
  timeout 60 "$JAIL_BUILD/jail-image" "$c" --store "$S" --sync never "$@"
}

# The value of a key in the last line of the output that has it.
value() {
  python3 -c 'import json,sys
v = [json.loads(l).get(sys.argv[1]) for l in sys.stdin if l.startswith("{")]
v = [x for x in v if x is not None]
print(v[-1] if not isinstance(v[-1], list) else "\n".join(v[-1]))' "$1"
}

# Nothing half-made: no layer but whole ones, nothing temporary, and the check passes.
store_is_clean() {
  image check || return 1 # as every command, it sweeps up behind the killed
  [ -z "$(ls -A "$S/tmp")" ] || { ls -lR "$S/tmp"; return 1; }
}

@test "image: an OCI layout is imported, listed, inspected and removed" {
  python3 "$FIXTURES" good "$W"
  run image import --name app:1 --tag v1 "$W/layout"
  echo "$output"
  [ "$status" -eq 0 ]
  run image ls
  [ "$status" -eq 0 ]
  [ "$(echo "$output" | value name)" = localhost/app:1 ]
  run image inspect app:1
  [ "$status" -eq 0 ]
  [ "$(echo "$output" | value cmd)" = /bin/tool ]
  [ "$(echo "$output" | value user)" = 1000 ]
  [ "$(echo "$output" | value volumes)" = /data ]
  [ "$(echo "$output" | value lower | wc -l)" -eq 3 ] # two, and one that mends the implied tmp/
  store_is_clean
  run image rm app:1
  [ "$status" -eq 0 ]
  [ -z "$(ls -A "$S/layers")$(ls -A "$S/blobs/sha256")$(ls -A "$S/images")$(ls -A "$S/refs")" ]
}

@test "image: the layers make the right root under overlayfs" {
  python3 "$FIXTURES" good "$W"
  image import --name app:1 "$W/layout" --tag v1
  lower=$(image inspect app:1 | value lower | paste -sd:)
  mkdir "$W/m"
  run unshare -m sh -c "mount -t overlay overlay -o lowerdir=$lower $W/m && cd $W/m && find . | sort &&
    stat -c '%n %a %h' bin/tool tmp tmp/made && cat tmp/made2"
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" != *etc/old* && "$output" != *opt/gone* && "$output" != *.wh.* ]]
  [[ "$output" == *"bin/tool 4755 1"* ]]
  [[ "$output" == *"tmp 1777 "* ]] # the upper layer only implied it
  [[ "$output" == *"tmp/made 644 2"* ]]
  [[ "$output" == *hello* ]]
}

@test "image: what docker save wrote, and the tar of a root, are imported" {
  python3 "$FIXTURES" good "$W"
  run image import "$W/saved.tar"
  echo "$output"
  [ "$status" -eq 0 ]
  [ "$(echo "$output" | value name)" = docker.io/saved/app:7 ]
  run image import --name plain --cmd sh --cmd -l -e A=b "$W/root.tar.gz"
  echo "$output"
  [ "$status" -eq 0 ]
  run image inspect plain
  [ "$(echo "$output" | value cmd)" = "$(printf 'sh\n-l')" ]
  [ "$(echo "$output" | value env)" = A=b ]
  store_is_clean
}

@test "image: an archive does not take a name that stands for another image" {
  python3 "$FIXTURES" good "$W"
  image import --name saved "$W/root.tar.gz"
  image import "$W/saved.tar"
  before=$(image inspect docker.io/saved/app:7 | value manifest)
  run image import --name docker.io/saved/app:7 "$W/root.tar.gz"
  [ "$status" -eq 125 ]
  [[ "$output" == *"stands for another image"* ]]
  [ "$(image inspect docker.io/saved/app:7 | value manifest)" = "$before" ]
  image import --replace --name docker.io/saved/app:7 "$W/root.tar.gz"
  [ "$(image inspect docker.io/saved/app:7 | value manifest)" != "$before" ]
}

@test "image: layers are stored once, and stay while another image has them" {
  python3 "$FIXTURES" good "$W"
  image import --name one --tag v1 "$W/layout"
  image import --name two "$W/root.tar.gz"
  [ "$(ls "$S/layers" | wc -l)" -eq 3 ] # base, top, mended; the tar of the root is the base layer
  image rm one
  [ "$(ls "$S/layers" | wc -l)" -eq 1 ]
  image inspect two
  store_is_clean
}

@test "image: hostile images are refused by a line that names the entry, and leave nothing" {
  python3 "$FIXTURES" hostile "$W/cases"
  echo alive >"$W/canary"
  echo alive >/canary-$$
  bad=0
  for c in "$W"/cases/*; do
    rm -rf "$S"
    run image import --quiet --name evil --tag v1 --max-layer-size 32M "$c/layout"
    expect=$(cat "$c/expect")
    # JSON doubles the backslashes of what is made visible.
    if [ "$status" -ne 125 ] || [[ "${output//\\\\/\\}" != *"$expect"* ]]; then
      echo "$(basename "$c"): status $status: ${output:0:400} (wanted: $expect)"
      bad=1
    fi
    [ -z "$(ls -A "$S/layers")$(ls -A "$S/tmp")$(ls -A "$S/refs")$(ls -A "$S/images")" ] ||
      { echo "$(basename "$c") left something"; bad=1; }
  done
  [ "$(cat "$W/canary")" = alive ] && [ "$(cat /canary-$$)" = alive ] || bad=1
  [ ! -e /canary ] || { rm -f /canary; bad=1; }
  rm -f /canary-$$
  [ "$bad" -eq 0 ]
  store_is_clean
  image gc
  [ -z "$(ls -A "$S/blobs/sha256")$(ls -A "$S/partial")" ]
}

@test "image: killed at any system call of an import, the store is whole and the next import completes" {
  python3 "$FIXTURES" good "$W"
  # Every kind of call that changes the store, each of its first occurrences.
  calls="mkdirat openat renameat unlinkat fchmod futimens linkat symlinkat mknodat pwrite64 write utimensat flock ftruncate"
  done=0
  for call in $calls; do
    for n in 1 2 3 5 8 13; do
      rm -rf "$S"
      image import --quiet --name base "$W/root.tar.gz" >/dev/null
      { timeout 60 strace -f -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$n \
        "$JAIL_BUILD/jail-image" import --store "$S" --sync now --quiet --name app:1 --tag v1 "$W/layout"; } >/dev/null 2>&1 || done=$((done + 1))
      run image check
      # A name that is there leads to a whole image, killed or not.
      [ "$status" -eq 0 ] || { echo "after $call $n: $output"; return 1; }
      run image import --quiet --replace --name app:1 --tag v1 "$W/layout"
      [ "$status" -eq 0 ] || { echo "again after $call $n: $output"; return 1; }
      store_is_clean || { echo "after $call $n"; return 1; }
      image inspect base >/dev/null
    done
  done
  echo "$done kills" >&3
  [ "$done" -ge 30 ]
}

@test "image: what was not on the disk when the power failed is dropped and can be pulled again" {
  python3 "$FIXTURES" good "$W"
  image import --name app:1 --tag v1 "$W/layout" # --sync never
  [ -n "$(ls "$S/unsynced")" ]
  # Another boot: the records say so by their names.
  for f in "$S"/unsynced/*; do
    mv "$f" "$S/unsynced/00000000000000000000000000000000-${f##*/????????????????????????????????-}"
  done
  run image inspect app:1
  [ "$status" -eq 125 ]
  [[ "$output" == *"pull it again"* ]]
  [ -z "$(ls -A "$S/layers")$(ls -A "$S/unsynced")" ]
  image import --replace --sync now --name app:1 --tag v1 "$W/layout"
  [ -z "$(ls -A "$S/unsynced")" ]
  store_is_clean
}

@test "image: imports side by side share the work and agree" {
  python3 "$FIXTURES" good "$W"
  pids=
  for i in 1 2 3 4 5 6; do
    image import --quiet --name "app:$i" --tag v1 "$W/layout" >"$W/out$i" 2>&1 &
    pids="$pids $!"
  done
  for p in $pids; do wait "$p"; done
  run image ls
  [ "$(echo "$output" | grep -c '"event":"image"')" -eq 6 ]
  [ "$(ls "$S/layers" | wc -l)" -eq 3 ]
  store_is_clean
}

@test "image: a damaged blob is found, and removed when asked" {
  python3 "$FIXTURES" good "$W"
  image import --name app:1 --tag v1 "$W/layout"
  b=$(ls -S "$S/blobs/sha256" | head -1)
  echo x >>"$S/blobs/sha256/$b"
  run image check
  [ "$status" -eq 125 ]
  [[ "$output" == *"$b"* ]]
  image check --repair
  store_is_clean
  rm -rf "$S/layers/"*
  run image check
  [ "$status" -eq 125 ]
  [[ "$output" == *"lacks its layer"* ]]
}

@test "image: a store of another user or readable by others is refused" {
  python3 "$FIXTURES" good "$W"
  mkdir -m 0755 "$S"
  run image import --name a "$W/root.tar.gz"
  [ "$status" -eq 125 ]
  [[ "$output" == *"mode 0700"* ]]
}

@test "image: a changed overlay is committed, exported, and the same again elsewhere" {
  python3 "$FIXTURES" good "$W"
  image import --name app:1 --tag v1 "$W/layout"
  lower=$(image inspect app:1 | value lower | paste -sd:)
  mkdir "$W/m" "$W/up" "$W/work"
  # What a jail would do: change, delete, replace a directory, link, set an attribute.
  unshare -m sh -ec "mount -t overlay overlay -o lowerdir=$lower,upperdir=$W/up,workdir=$W/work $W/m
    cd $W/m && echo new >etc/os-release && rm bin/tool && rm -r etc/apt && mkdir etc/apt && echo a >etc/apt/a
    ln etc/apt/a etc/apt/b && setfattr -n user.x -v y etc/apt/a 2>/dev/null || python3 -c 'import os; os.setxattr(\"etc/apt/a\", \"user.x\", b\"y\")'
    chown 7:8 etc/apt/a && ln -s /x etc/link && mkfifo fifo"
  run image commit --base app:1 --cmd /bin/other --env X=1 "$W/up" app:2
  echo "$output"
  [ "$status" -eq 0 ]
  [ "$(image inspect app:2 | value cmd)" = /bin/other ]
  [ "$(image inspect app:2 | value env)" = "$(printf 'X=1\nPATH=/bin')" ]
  [ "$(image inspect app:2 | value diff_ids | wc -l)" -eq 3 ]
  image export app:2 "$W/app2.tar"
  S=$W/second image import "$W/app2.tar"
  S=$W/second
  [ "$(image inspect app:2 | value cmd)" = /bin/other ]
  image check
  lower=$(image inspect app:2 | value lower | paste -sd:)
  run unshare -m sh -ec "mount -t overlay overlay -o lowerdir=$lower $W/m && cd $W/m && find . | sort &&
    stat -c '%n %u:%g %h' etc/apt/a && cat etc/os-release etc/apt/b && python3 -c 'import os; print(os.getxattr(\"etc/apt/a\", \"user.x\"))'"
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"etc/apt/a 7:8 2"* && "$output" == *new* && "$output" == *"b'y'"* && "$output" == *./fifo* ]]
  [[ "$output" != *bin/tool* && "$output" != *.wh.* ]]
  # Others read the archive too.
  skopeo inspect "oci-archive:$W/app2.tar" | grep -q '"Architecture": "amd64"'
  skopeo inspect "docker-archive:$W/app2.tar" >/dev/null
}

@test "image: a directory is imported as it is" {
  mkdir -p "$W/root/bin" "$W/root/proc/1"
  echo data >"$W/root/bin/f" && chmod 2711 "$W/root/bin/f" && ln -s f "$W/root/bin/l"
  touch -d @1000 "$W/root/bin"
  image import --name tree --cmd /bin/f "$W/root"
  fs=$(image inspect tree | value lower)
  [ "$(cd "$fs" && find . | sort | tr '\n' ' ')" = ". ./bin ./bin/f ./bin/l ./proc " ]
  [ "$(stat -c '%a %Y' "$fs/bin/f" "$fs/bin" | head -1 | cut -d' ' -f1)" = 2711 ]
  [ "$(stat -c %Y "$fs/bin")" = 1000 ]
  first=$(image inspect tree | value diff_ids)
  image import --replace --name tree --cmd /bin/f "$W/root"
  [ "$(image inspect tree | value diff_ids)" = "$first" ] # the same directory, the same layer
}

@test "image: a distribution is made from its packages" {
  run image bootstrap --variant extract --include busybox-static --cmd /bin/busybox --cmd sh debian:bookworm
  echo "$output"
  [ "$status" -eq 0 ]
  [ "$(echo "$output" | value name)" = localhost/debian:bookworm ]
  [ -x "$(image inspect debian:bookworm | value lower)/bin/busybox" ]
  run image bootstrap debian:--version
  [ "$status" -eq 125 ]
  run image bootstrap plan9
  [[ "$output" == *"known are debian"* ]]
  store_is_clean
}

@test "image: killed while committing or removing, the store is whole and the next command completes" {
  python3 "$FIXTURES" good "$W"
  mkdir -p "$W/up/etc" && echo changed >"$W/up/etc/os-release" && mknod "$W/up/bin" c 0 0
  killed=0
  for call in openat write renameat unlinkat mkdirat flock; do
    for n in 2 5 9 14; do
      rm -rf "$S"
      image import --quiet --name app:1 --tag v1 "$W/layout" >/dev/null
      { timeout 60 strace -f -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$n \
        "$JAIL_BUILD/jail-image" commit --store "$S" --sync now --base app:1 "$W/up" app:2; } >/dev/null 2>&1 || killed=$((killed + 1))
      run image commit --replace --base app:1 "$W/up" app:2
      [ "$status" -eq 0 ] || { echo "commit after $call $n: $output"; return 1; }
      store_is_clean || { echo "commit, $call $n"; return 1; }
      { timeout 60 strace -f -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$n \
        "$JAIL_BUILD/jail-image" rm --store "$S" --sync now app:2; } >/dev/null 2>&1 || killed=$((killed + 1))
      store_is_clean || { echo "rm, $call $n"; return 1; }
      image inspect app:1 >/dev/null
      image rm app:2 >/dev/null || true
      image gc >/dev/null
      [ "$(ls "$S/layers" | wc -l)" -eq 3 ] || { echo "gc, $call $n"; ls "$S/layers"; return 1; }
    done
  done
  echo "$killed kills" >&3
  [ "$killed" -ge 20 ]
}

@test "jail image: shows what the worker does, to people and to programs" {
  export JAIL_STATE_DIR=$W/state JAIL_RUN_DIR=$W/run
  python3 "$FIXTURES" good "$W"
  run "$JAIL" image ls
  [ "$status" -eq 0 ]
  run "$JAIL" image import --name web:1 --tag v1 "$W/layout"
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"localhost/web:1"* && "$output" == *" done "* ]]
  run "$JAIL" image -q import --name web:2 --tag v1 "$W/zstd"
  [ "$output" = localhost/web:2 ]
  run "$JAIL" image ls
  [[ "${lines[0]}" == NAME*DIGEST*SIZE*LAYERS*AGE ]]
  [[ "${lines[1]}" == localhost/web:1* && "${lines[2]}" == localhost/web:2* ]]
  [ "$("$JAIL" image --format json ls | value name)" = localhost/web:2 ]
  run "$JAIL" image import --name web:1 "$W/root.tar.gz"
  [ "$status" -eq 125 ]
  [[ "$output" == *"jail: the name 'localhost/web:1' stands for another image"* ]]
  run "$JAIL" image rm web:1
  [ "$status" -eq 0 ]
  run "$JAIL" image frobnicate
  [ "$status" -eq 125 ]
  [[ "$output" == *"jail-image knows"* ]]
  # On a terminal: one bar for each layer.
  run script -qec "$JAIL image import --replace --name web:3 --tag v1 $W/layout" /dev/null
  [[ "$output" == *"########"* ]]
}
