# A micro-VM from its monitor to a program's exit code: monitor, kernel, agent and engine
# together.  Where KVM cannot run a kernel the same tests run under QEMU, chosen by the monitor.

setup_file() {
  cd "$BATS_TEST_DIRNAME/../.." || return 1
  [ -n "${JAIL_VM_PREPARED:-}" ] || tests/vm/prepare.sh "$JAIL_BUILD"
}

setup() {
  cd "$BATS_TEST_DIRNAME/../.." || return 1
  OLD=$(ls -d build/vm/6.1.* build/vm/6.12.* 2>/dev/null | head -1)
  NEW=$(ls -d build/vm/6.1.* build/vm/6.12.* 2>/dev/null | tail -1)
}

teardown() {
  # Neither a monitor nor a socket of ours is left.
  [ -z "$(find /tmp -maxdepth 1 -name 'guest.*' -newer "$BATS_TEST_TMPDIR" 2>/dev/null)" ]
}

# guest KERNEL-DIR ROOT CPUS ARGUMENT...: standard error (serial port, monitor) goes to a file
guest() {
  local kernel=$1 root=$2 cpus=$3
  shift 3
  GUEST_APPEND="loglevel=4 $APPEND" timeout 120 "$JAIL_BUILD/jail-test-guest" "$JAIL_BUILD/jail-vmm" "$kernel" \
    build/vm/agent.cpio "build/vm/root.$root" "$root" "${MEMORY:-256}" "$cpus" "$@" 2>"$BATS_TEST_TMPDIR/err"
}

@test "the older kernel boots and runs a program on an ext4 root" {
  run guest "$OLD" ext4 1 uname -r </dev/null
  [ "$status" -eq 0 ]
  [ "$output" = "$(basename "$OLD")" ]
}

@test "the newer kernel boots and runs a program on an EROFS root" {
  run guest "$NEW" erofs 1 uname -r </dev/null
  [ "$status" -eq 0 ]
  [ "$output" = "$(basename "$NEW")" ]
}

@test "exit codes, signals and both outputs come through" {
  run guest "$OLD" ext4 1 sh -c 'echo out; echo err >&2; exit 7' </dev/null
  [ "$status" -eq 7 ]
  [ "$output" = out ]
  grep -q 'err$' "$BATS_TEST_TMPDIR/err" # the serial port's output is there too
  run guest "$OLD" ext4 1 exec sh -c 'kill -9 $$' </dev/null
  [ "$status" -eq 137 ]
}

@test "input reaches the program, and its end too" {
  seq 20000 >"$BATS_TEST_TMPDIR/in"
  run guest "$OLD" ext4 1 sha256sum <"$BATS_TEST_TMPDIR/in"
  [ "$status" -eq 0 ]
  [ "${output%% *}" = "$(sha256sum <"$BATS_TEST_TMPDIR/in" | cut -d' ' -f1)" ]
}

@test "two and four processors" {
  run guest "$OLD" ext4 2 nproc </dev/null
  [ "$output" = 2 ]
  run guest "$NEW" ext4 4 nproc </dev/null
  [ "$output" = 4 ]
}

@test "the root is writable in a layer of its own, and the image is not touched" {
  sum=$(sha256sum build/vm/root.erofs)
  run guest "$OLD" erofs 1 sh -c 'echo x >/new && rm /etc/passwd && cat /new && ls /etc' </dev/null
  [ "$status" -eq 0 ]
  [ "$output" = x ]
  [ "$(sha256sum build/vm/root.erofs)" = "$sum" ]
}

@test "a program in the guest is confined as on the host" {
  run guest "$OLD" ext4 1 exec sh -c 'cat /proc/self/status; ps' </dev/null
  [ "$status" -eq 0 ]
  [[ $output == *"CapBnd:	0000000000000000"* ]]
  [[ $output == *"NoNewPrivs:	1"* ]]
  [[ $output == *"sleep 1000"* ]]
  [[ $output != *"jail-agent"* ]]
}

@test "a terminal for the jail's program and for an executed one" {
  run guest "$OLD" ext4 1 tty sh -c 'tty; exit 3' </dev/null
  [ "$status" -eq 3 ]
  [[ $output == *"/dev/pts/0"* ]]
  run guest "$OLD" ext4 1 exec tty tty </dev/null
  [ "$status" -eq 0 ]
  [[ $output == *"/dev/pts/"* ]]
}

@test "a program that does not exist is 127, and the guest says so" {
  run guest "$OLD" ext4 1 nonesuch </dev/null
  [ "$status" -eq 125 ]
  grep -q "in the guest: cannot execute 'nonesuch'" "$BATS_TEST_TMPDIR/err"
}

@test "a guest whose kernel panics ends, and is told from one that does not start" {
  APPEND="init=/nonesuch rdinit=/nonesuch" run guest "$OLD" ext4 1 true </dev/null
  [ "$status" -eq 125 ]
  grep -q "the guest did not start" "$BATS_TEST_TMPDIR/err"
  grep -q "Kernel panic" "$BATS_TEST_TMPDIR/err"
}

@test "too little memory is one sentence before anything runs" {
  MEMORY=64 run guest "$OLD" ext4 1 true </dev/null
  [ "$status" -eq 125 ]
  grep -q "jail-test-guest\|guest:" "$BATS_TEST_TMPDIR/err"
}

@test "much output is neither lost nor stuck" {
  run guest "$OLD" ext4 1 sh -c 'seq 300000 | sha256sum; seq 100000' </dev/null
  [ "$status" -eq 0 ]
  [ "${lines[0]%% *}" = "$(seq 300000 | sha256sum | cut -d' ' -f1)" ]
  [ "${#lines[@]}" -eq 100001 ]
}

@test "the monitor is confined, and goes when its owner is killed" {
  GUEST_APPEND=loglevel=4 "$JAIL_BUILD/jail-test-guest" "$JAIL_BUILD/jail-vmm" "$OLD" build/vm/agent.cpio \
    build/vm/root.ext4 ext4 256 1 sh -c 'echo up; sleep 300' </dev/null >"$BATS_TEST_TMPDIR/out" 2>/dev/null 3>&- &
  owner=$!
  for _ in $(seq 1200); do
    if grep -q up "$BATS_TEST_TMPDIR/out"; then break; fi
    sleep 0.1
  done
  monitor=$(pgrep -P "$owner" -x jail-vmm)
  grep -q '^Uid:.65534.65534.65534.65534$' "/proc/$monitor/status"
  grep -q '^CapEff:.0000000000000000$' "/proc/$monitor/status"
  grep -q '^CapBnd:.0000000000000000$' "/proc/$monitor/status"
  grep -q '^NoNewPrivs:.1$' "/proc/$monitor/status"
  [ "$(grep -l '^Seccomp:.2$' /proc/"$monitor"/task/*/status | wc -l)" -eq "$(ls "/proc/$monitor/task" | wc -l)" ]
  [ -z "$(ls -A "/proc/$monitor/root/")" ]
  for ns in mnt net ipc uts cgroup; do
    [ "$(readlink "/proc/$monitor/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ]
  done
  kill -9 "$owner"
  for _ in $(seq 300); do
    [ -d "/proc/$monitor" ] || break
    sleep 0.1
  done
  [ ! -d "/proc/$monitor" ]
  rm -f "/tmp/guest.$owner"
}

@test "the monitor names what it cannot do" {
  run "$JAIL_BUILD/jail-vmm" --memory 64M
  [ "$status" -eq 125 ]
  [ "$output" = "jail-vmm: no kernel given; use --kernel FILE" ]
  run "$JAIL_BUILD/jail-vmm" --engine kvm --kernel /nonesuch
  [ "$status" -eq 125 ]
  [[ $output == *"cannot open"* ]]
  run "$JAIL_BUILD/jail-vmm" --kernel /bin/busybox --cpus 99 --engine kvm
  [ "$status" -eq 125 ]
  [[ $output == *"1 to 32 processors"* ]]
}

@test "a package that is no kernel is refused" {
  mkdir "$BATS_TEST_TMPDIR/k"
  run "$JAIL_BUILD/jail-vmm" kernel /bin/busybox "$BATS_TEST_TMPDIR/k"
  [ "$status" -eq 125 ]
  [[ $output == *"PVH"* ]]
  echo nothing >"$BATS_TEST_TMPDIR/n"
  run "$JAIL_BUILD/jail-vmm" kernel "$BATS_TEST_TMPDIR/n" "$BATS_TEST_TMPDIR/k"
  [ "$status" -eq 125 ]
  [[ $output == *"neither an ELF image nor a bzImage"* ]]
}
