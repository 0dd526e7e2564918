#!/usr/bin/env bats
# What befell other tools, as cases (the ids are those of SECURITY.md).  Where an attack can be
# shown to work without confinement it is tried there first ("weakly"): a test that cannot fail
# proves nothing.
load helpers

setup_file() { suite_begin; }
teardown() { suite_between; }

field() { awk -v k="$1:" '$1 == k {print $2}'; }

# --- A. handoff ------------------------------------------------------------------------------

@test "A1 no descriptor but 0-2 comes in, however many the caller leaks" {
  run bash -c 'exec 7</ 8</etc 9<>/dev/null; unshare -m "$JAIL_BUILD/helpers/probe_world" fds'
  [[ $output == *"7 /"* ]]
  run bash -c 'exec 7</ 8</etc 9<>/dev/null 33</proc; "$JAIL" run --root "$ROOT" -- /t/probe_world fds'
  [ "$status" -eq 0 ]
  [ "$(wc -l <<<"$output")" = 3 ]
  up web
  run bash -c 'exec 7</ 8</etc 9<>/dev/null; "$JAIL" exec web /t/probe_world fds'
  [ "$(wc -l <<<"$output")" = 3 ]
}

@test "A2 a working folder spelled through /proc or a link lands inside or is refused" {
  cp -a "$ROOT" "$W/a2"
  for cwd in /proc/self/fd/3 /proc/self/fd/5 /proc/thread-self/fd/7/.. /proc/1/cwd /link /proc/self/root/..; do
    ln -sfn /proc/self/fd/7 "$W/a2/link"
    run bash -c 'exec 7</; "$JAIL" run --root "$W/a2" --cwd "$1" -- sh -c "pwd; ls ../../../../.."' - "$cwd"
    [ "$status" -eq 125 ] || [[ ${lines[0]} == /* ]]
    [[ $output != *lost+found* ]]
    [[ $output != *"$(basename "$TESTS")"$'\n'* ]] || true
    [[ $output != *boot* ]]
    up web
    run jail exec --cwd "$cwd" web sh -c 'pwd; ls ../../../../..'
    [ "$status" -ge 125 ] || [[ ${lines[0]} == /* ]]
    [[ $output != *boot* ]]
    jail destroy -f web
  done
}

@test "A3 A4 the host's binary cannot be reached or overwritten through /proc/PID/exe" {
  sum=$(sha256sum <"$JAIL")
  cp -a "$ROOT" "$W/a4"
  printf '#!/proc/self/exe\n' >"$W/a4/t/shebang"
  chmod 755 "$W/a4/t/shebang"
  ln -s /proc/self/exe "$W/a4/t/self"
  run timeout -k 2 30 "$JAIL" run --root "$W/a4" -- /t/self version
  [[ $output != *"jail 0"* ]]
  run timeout -k 2 30 "$JAIL" run --root "$W/a4" -- /t/shebang version
  [[ $output != *"jail 0"* ]]
  up web
  "$JAIL" exec web sh -c 'while :; do for p in /proc/[0-9]*; do echo x >>$p/exe; done; done 2>/dev/null' &
  for _ in $(seq 20); do jail exec web true; done
  [ "$sum" = "$(sha256sum <"$JAIL")" ]
}

@test "A5 libraries, preload and name service of the tree are not used by jail" {
  cp -a "$ROOT" "$W/a5"
  mkdir -p "$W/a5/lib" "$W/a5/lib64" "$W/a5/lib/x86_64-linux-gnu"
  echo /t/evil.so >"$W/a5/etc/ld.so.preload"
  echo 'passwd: evil' >"$W/a5/etc/nsswitch.conf"
  for d in lib lib64 lib/x86_64-linux-gnu; do
    for l in libc.so.6 libmnl.so.0 libnss_evil.so.2 ld-linux-x86-64.so.2; do echo garbage >"$W/a5/$d/$l"; done
  done
  run jail run --root "$W/a5" -u user -- id -un
  [ "$status" -eq 0 ]
  [ "$output" = user ]
}

@test "A7 oom score, umask, signal mask and limits are the jail's, not the caller's" {
  own=$(inside cat /proc/self/oom_score_adj)
  run bash -c 'echo 500 >/proc/self/oom_score_adj; umask 0; trap "" TERM; ulimit -c unlimited 2>/dev/null; "$JAIL" run --root "$ROOT" -- sh -c "cat /proc/self/oom_score_adj; umask; ulimit -c"; "$JAIL" run --root "$ROOT" -- grep SigIgn /proc/self/status'
  [ "$own" -lt 500 ]
  [ "${lines[0]}" = "$own" ]
  [ "${lines[1]}" = 0022 ]
  [ "${lines[2]}" = 0 ]
  [[ ${lines[3]} == *0000000000000000 ]]
}

@test "A8 odd environment" {
  refused run -e '=x' --root "$ROOT" -- true
  run jail run -e 'A=b=c' --root "$ROOT" -- sh -c 'echo "$A"'
  [ "$output" = b=c ]
}

# --- C. procfs, sysfs, cgroupfs ---------------------------------------------------------------

@test "C1 C2 C9 nothing of /proc and /sys opens for writing" {
  run weakly /t/probe_world writable /proc
  [[ $output == *core_pattern* ]]
  for dir in /proc /proc/sys /sys /sys/fs/cgroup; do
    run inside /t/probe_world writable $dir
    # A namespace's own sysctls may be written by its owner; nothing else.
    bad=$(grep -v -E '^(/proc)?/(sys/)?(net|kernel/(shm|msg|sem))' <<<"$output" || true)
    [ -z "$bad" ] || { echo "$bad"; false; }
  done
}

@test "C2 the kernel's helpers cannot be redirected" {
  core=$(cat /proc/sys/kernel/core_pattern)
  run inside sh -c 'for f in kernel/core_pattern kernel/modprobe kernel/hotplug kernel/poweroff_cmd fs/binfmt_misc/register; do echo "|/t/x" >/proc/sys/$f && echo "wrote $f"; done 2>/dev/null; echo end'
  [ "$output" = end ]
  [ "$core" = "$(cat /proc/sys/kernel/core_pattern)" ]
}

@test "C3 C4 C5 its own limits cannot be changed nor left" {
  up web --pids 50
  run jail exec web sh -c 'find / -xdev -name "*.max" -o -name cgroup.procs -o -name release_agent -o -name tasks -o -name "*limit_in_bytes" 2>/dev/null; ls /sys/fs/cgroup 2>/dev/null | head -n 3'
  [ -z "$output" ]
  run jail exec web sh -c 'mkdir /tmp/cg && mount -t cgroup -o memory none /tmp/cg; mount -t cgroup2 none /tmp/cg; echo end'
  [[ $output == *denied* ]] || [[ $output == *ermitted* ]]
}

@test "C6 the program is in its own cgroup in every hierarchy that counts" {
  up web
  init=$(pid_of web)
  # Devices need no group where no node can be made or opened; the freezer is joined to pause.
  for ctl in memory pids cpu; do
    mine=$(grep -E "[:,]$ctl[:,]" "/proc/$init/cgroup" | cut -d: -f3)
    [ -z "$mine" ] || [ "$mine" != "$(grep -E "[:,]$ctl[:,]" /proc/self/cgroup | cut -d: -f3)" ]
  done
}

@test "C7 what of /proc tells of the host is not there" {
  run weakly sh -c 'ls /proc'
  [[ $output == *kallsyms* ]]
  for f in kcore kmsg keys key-users timer_list sched_debug interrupts softirqs slabinfo kpageflags kpagecount \
    vmallocinfo kallsyms modules iomem ioports sysrq-trigger config.gz cmdline acpi bus scsi driver tty pressure \
    sys/kernel/debug sys/vm/mmap_min_addr/x dma diskstats partitions consoles crypto; do
    run inside sh -c "cat /proc/$f 2>/dev/null | head -c 100; ls /proc/$f/ 2>/dev/null"
    [ -z "${output//\/proc\/$f/}" ] || { echo "$f: $output"; false; }
  done
  run inside sh -c 'ls -A /sys | head'
  [ -z "$output" ]
}

@test "C8 masks cannot be peeled" {
  run weakly sh -c 'mkdir -p /x && mount -t proc proc /x && echo mounted'
  [ "$output" = mounted ]
  # Each success is a line that begins with GOT.
  run inside sh -c 'for m in $(cut -d" " -f5 /proc/self/mountinfo); do umount $m && echo "GOT umount $m"; umount -l $m && echo "GOT lazy $m"; mount -o remount,rw $m && echo "GOT remount $m"; done
    mkdir /tmp/x; mount -t proc proc /tmp/x && echo GOT proc; mount --bind /proc /tmp/x && echo GOT bind; mount -t sysfs none /tmp/x && echo GOT sysfs; mount -t tmpfs none /tmp/x && echo GOT tmpfs; echo end'
  [ "${lines[-1]}" = end ]
  [ "$(grep -c '^GOT' <<<"$output")" = 0 ]
}

@test "C13 names of processes are shown with escapes made visible" {
  up web
  "$JAIL" exec web sh -c 'n="/tmp/$(printf "\033[2Jevil\nline")"; cp /bin/busybox "$n.sleep"; ln -s "$n.sleep" /tmp/sleep; cp /t/probe_procs "$n"; exec "$n" stubborn' >/dev/null 2>&1 &
  eventually 10 eval 'jail ps web | grep -q evil'
  run jail ps web
  [[ $output != *$'\033'* ]]
  run jail ps --format json web
  [[ $output != *$'\033'* ]]
}

# --- D. joining --------------------------------------------------------------------------------

@test "D1 D2 a hostile process can neither trace nor look into those that join" {
  up web
  "$JAIL" exec web /t/probe_procs watch 4 >"$W/watch" 2>&1 &
  watcher=$!
  eventually 10 grep -q watching "$W/watch"
  for _ in $(seq 30); do jail exec web true; done
  wait $watcher
  # It may look into the programs of its own jail; never trace, and never see what joins: a line
  # of the watch is "PID THING EXECUTABLE".
  run awk '$2 == "ptrace" || ($1 != "watching" && $3 !~ /^\/(bin|t)\//)' "$W/watch"
  [ -z "$output" ]
}

@test "D1 control: without confinement the same watcher traces" {
  weakly sh -c '/t/probe_procs watch 3 & sleep 1; for i in 1 2 3 4 5 6 7 8; do sleep 0.2; done; wait' >"$W/watch.weak" 2>&1
  grep -q ptrace "$W/watch.weak"
}

@test "D3 exec comes back in time when the jail's processes are stopped or hostile" {
  up web
  "$JAIL" exec web sh -c 'while :; do for p in /proc/[0-9]*; do kill -STOP ${p#/proc/}; done; done 2>/dev/null' &
  start=$SECONDS
  timeout -k 2 60 "$JAIL" exec web true || true
  [ $((SECONDS - start)) -lt 45 ]
  jail destroy -f web
}

@test "D5 no policy file is visible inside" {
  up web
  run jail exec web sh -c 'grep -r -l -i -e seccomp -e "\"root\"" /run /etc /tmp /var /home 2>/dev/null'
  [ -z "$output" ]
}

@test "D6 D9 a forged state does not make exec join another process" {
  up web
  up other
  victim=$(pid_of other)
  for f in $(find "$JAIL_RUN_DIR" -type f -path '*web*'); do sed -i "s/$(pid_of web)/$victim/g" "$f"; done
  run jail exec web hostname
  [ "$status" -ne 0 ] || [ "$output" = web ]
}

@test "D10 a flood from exec keeps memory bounded" {
  up web
  # Into a pipe that nobody reads for a while, so that it can neither end nor fill a disk.
  mkfifo "$W/pipe.out"
  exec 9<>"$W/pipe.out"
  "$JAIL" exec web /t/probe_procs flood >"$W/pipe.out" 9>&- &
  flood=$!
  sleep 1
  for p in $flood $(supervisor_of web); do
    [ "$(awk '/VmRSS/ {print $2}' /proc/$p/status)" -lt 30000 ]
  done
  kill -KILL $flood
  exec 9>&-
}

# --- E. credentials ------------------------------------------------------------------------------

@test "E1 E7 E12 capabilities: eight, none inheritable or ambient, none to be had" {
  run inside cat /proc/self/status
  [ "$(field CapInh <<<"$output")" = 0000000000000000 ]
  [ "$(field CapAmb <<<"$output")" = 0000000000000000 ]
  [ "$(field CapBnd <<<"$output")" = 00000000000004eb ] || [ "$(field CapBnd <<<"$output")" = 00000000000004fb ]
  [ "$(field NoNewPrivs <<<"$output")" = 1 ]
  run inside /t/probe_world raise
  [ "$(field CapAmb <<<"$output")" = 0000000000000000 ]
  [ "$(field CapInh <<<"$output")" = 0000000000000000 ]
  run jail run --root "$ROOT" -u user -- cat /proc/self/status
  [ "$(field CapEff <<<"$output")" = 0000000000000000 ]
  [ "$(field CapPrm <<<"$output")" = 0000000000000000 ]
  run weakly cat /proc/self/status
  [ "$(field CapBnd <<<"$output")" != 00000000000004fb ]
}

@test "E2 supplementary groups are those of the jail's group file, and no other" {
  run jail run --root "$ROOT" -- sh -c 'grep ^Groups /proc/self/status'
  [ "$(tr -d '[:space:]' <<<"$output")" = Groups: ] || [ "$(tr -s '[:space:]' ' ' <<<"$output" | sed 's/ $//')" = "Groups: 0" ]
  run jail run --root "$ROOT" -u user -- sh -c 'grep ^Groups /proc/self/status'
  [ "$(tr -s '[:space:]' ' ' <<<"$output" | sed 's/ $//')" = "Groups: 50 1001" ] || [ "$(tr -s '[:space:]' ' ' <<<"$output" | sed 's/ $//')" = "Groups: 50 1000 1001" ]
}

@test "E3 a number is a number, whatever the passwd file says" {
  run jail run --root "$ROOT" -u 1000 -- id -u
  [ "$output" = 1000 ]
}

@test "E4 E5 odd users are refused, never another one" {
  up web
  for u in 4294967295 4294967296 -1 18446744073709551616 1000:4294967296 '0x0' '+0' ' 0' '0 ' '' : :0 'user:' "user
" 'root:x:0' '../root' '1e3'; do
    run --separate-stderr jail run --root "$ROOT" -u "$u" -- id -u
    [ "$status" -eq 125 ] || { echo "run '$u': $status $output"; false; }
    run --separate-stderr jail exec -u "$u" web id -u
    [ "$status" -eq 125 ] || { echo "exec '$u': $status $output"; false; }
  done
}

@test "E6 a hostile passwd file: link, fifo, device, huge" {
  for kind in link fifo zero sparse longline; do
    rm -rf "$W/e6" && cp -a "$ROOT" "$W/e6"
    f="$W/e6/etc/passwd"
    rm -f "$f"
    case $kind in
    link) ln -s /etc/shadow "$f" ;;
    fifo) mkfifo "$f" ;;
    zero) mknod "$f" c 1 5 ;;
    sparse) truncate -s 20G "$f" ;;
    longline) head -c 1000000 /dev/zero | tr '\0' a >"$f" ;;
    esac
    run --separate-stderr timeout -k 2 20 "$JAIL" run --root "$W/e6" -u user -- id -u
    [ "$status" -eq 125 ] || { echo "$kind: $status $output"; false; }
    [[ $stderr != *root:* ]]
    run timeout -k 2 20 "$JAIL" run --root "$W/e6" -u 1000 -- true
    [ "$status" -eq 0 ] || [ "$status" -eq 125 ] || { echo "$kind by number: $output"; false; }
    [[ $output != *root:* ]]
  done
}

@test "E7 set-user-id programs of the tree gain nothing" {
  cp -a "$ROOT" "$W/e7"
  cp "$W/e7/bin/busybox" "$W/e7/t/suid" && chmod 4755 "$W/e7/t/suid"
  ln -s suid "$W/e7/t/id"
  run jail run --root "$W/e7" -u user -- /t/id -u
  [ "$output" = 1000 ]
}

@test "E8 what root inside makes in a volume is not root's outside" {
  mkdir -p "$W/e8" && chmod 777 "$W/e8"
  run jail run --root "$ROOT" -v "$W/e8:/v:nomap" -- sh -c 'cp /bin/busybox /v/su && chmod 4755 /v/su'
  [ ! -e "$W/e8/su" ] || [ "$(stat -c %u "$W/e8/su")" -ne 0 ]
}

@test "E9 root inside is not root outside" {
  up web
  [ "$(awk '/^Uid/ {print $2}' "/proc/$(pid_of web)/status")" -ge 65536 ]
}

@test "E10 the state is the caller's and closed to others" {
  up web
  # Closed at the top; below, only what the jail itself is shown may be read by its users.
  run find "$JAIL_STATE_DIR" "$JAIL_RUN_DIR" -maxdepth 3 -type f -perm /077 ! -name hosts ! -name hostname
  [ -z "$output" ]
  [ "$(stat -c %a "$JAIL_RUN_DIR")" = 700 ]
  [ "$(stat -c %a "$JAIL_STATE_DIR")" = 700 ]
  base=$(awk '{print $2}' "/proc/$(pid_of web)/uid_map")
  run find "$JAIL_STATE_DIR" "$JAIL_RUN_DIR" -uid "$base" -name '*.json'
  [ -z "$output" ]
}

@test "E13 the caller's keyring is not there" {
  run inside cat /proc/keys
  [ -z "$output" ] || [[ $output == *"can't open"* ]]
}

# --- F. system calls --------------------------------------------------------------------------------

@test "F1 F5 F6 F9 F10 F11 every dangerous call is refused" {
  weakly /t/probe_calls refused >"$W/calls.weak"
  run inside /t/probe_calls refused
  [ "$status" -eq 0 ]
  # EPERM or ENOSYS, decided by the filter before the arguments are looked at.
  bad=$(awk '$2 != 1 && $2 != 38 {print}' <<<"$output")
  [ -z "$bad" ] || { echo "$bad"; false; }
  [ "$(wc -l <<<"$output")" -ge 60 ]
  # The control: most of them were reached without the filter.
  [ "$(awk '$2 != 1 && $2 != 38' "$W/calls.weak" | wc -l)" -ge 40 ]
}

@test "F1 exec is under the same filter" {
  up web
  run jail exec web /t/probe_calls refused
  [ -z "$(awk '$2 != 1 && $2 != 38' <<<"$output")" ]
}

@test "F2 the kernel's other doors are closed: int 0x80 and x32" {
  [ "$(uname -m)" = x86_64 ] || skip "only on x86-64"
  run weakly /t/probe_calls compat
  [[ $output == *"int80 exit-0"* ]]
  run inside /t/probe_calls compat
  [[ $output == *"int80 signal-31"* ]]
  [[ $output != *"x32 exit-0"* ]]
}

@test "F3 F4 terminal injection, also with the high half set" {
  run inside /t/probe_calls ioctls
  for name in TIOCSTI TIOCSTI-high TIOCLINUX TIOCLINUX-high TIOCSETD TIOCCONS; do
    [[ $output == *"$name 1"* ]] || { echo "$output"; false; }
  done
}

@test "F6 G9 no new namespaces" {
  run weakly /t/probe_calls clones
  [[ $output == *"newuser 0"* || $output == *"newns 0"* ]]
  run inside /t/probe_calls clones
  for ns in newuser newns newpid newnet newipc newuts newcgroup; do
    [[ $output == *"$ns 1"* ]] || { echo "$output"; false; }
  done
  [[ $output == *"ok-plain 0"* ]]
  run inside sh -c 'cat /proc/sys/user/max_user_namespaces 2>/dev/null || echo 0'
  [ "$output" = 0 ]
}

@test "F7 a filter of its own relaxes nothing" {
  run inside /t/probe_calls stack
  [[ $output == *"ok-add-filter 0"* ]]
  [[ $output == *"mount-after 1"* ]]
  [[ $output == *"bpf-after 1"* ]]
}

@test "F8 four kinds of socket, no more" {
  run weakly /t/probe_calls sockets
  [[ $output == *"netfilter 0"* ]]
  run inside /t/probe_calls sockets
  bad=$(awk '/^ok-/ && $2 != 0 {print} !/^ok-/ && $2 == 0 {print}' <<<"$output")
  [ -z "$bad" ] || { echo "$bad"; false; }
}

@test "F9 file handles reach nothing" {
  run weakly /t/probe_world handle
  [ "$output" -ne 38 ]
  run inside /t/probe_world handle
  [ "$output" -eq 1 ]
}

@test "F12 the filter is there at the first instruction, in init, in exec" {
  run inside /t/probe_world seccomp
  [ "$output" = 2 ]
  up web
  [ "$(awk '/^Seccomp:/ {print $2}' "/proc/$(pid_of web)/status")" = 2 ]
  run jail exec web /t/probe_world seccomp
  [ "$output" = 2 ]
}

@test "F13 a call that is not known yet is ENOSYS, so that libraries fall back" {
  run inside /t/probe_calls unknown
  [ -z "$(awk '$2 != 38' <<<"$output")" ]
  [ "$(wc -l <<<"$output")" -ge 5 ]
}

# --- G. namespaces ------------------------------------------------------------------------------------

@test "G1 every namespace is its own" {
  for ns in cgroup ipc mnt net pid user uts time; do
    run inside readlink /proc/self/ns/$ns
    [ "$output" != "$(readlink /proc/self/ns/$ns)" ] || { echo "$ns is shared"; false; }
  done
}

@test "G2 no handle on what is above" {
  run inside /t/probe_world nsparent
  [ "$(awk '$1 == "user" {print $2}' <<<"$output")" -ne 0 ]
  [ "$(awk '$1 == "pid" {print $2}' <<<"$output")" -ne 0 ]
  [ -z "$(awk '/-above/ && $2 == 0' <<<"$output")" ]
}

@test "G3 a descriptor passed over a shared socket reaches what the sender had, no more" {
  mkdir -p "$W/g3" && chmod 777 "$W/g3" && echo x >"$W/host-marker"
  up sender -v "$W/g3:/s"
  up taker -v "$W/g3:/s"
  "$JAIL" exec sender /t/probe_world passfd /s/sock &
  eventually 10 test -S "$W/g3/sock"
  run jail exec taker /t/probe_world fetchfd /s/sock
  [[ $output == *"above 2"* ]] || [[ $output == none* ]]
}

@test "G4 abstract sockets of the host are out of reach, also with its network" {
  name="jail-test-$$"
  python3 -c "
import socket, time
s = socket.socket(socket.AF_UNIX)
s.bind(b'\0$name')
s.listen(8)
time.sleep(60)" &
  listener=$!
  eventually 10 grep -q "$name" /proc/net/unix
  run "$JAIL_BUILD/helpers/probe_world" abstract "$name"
  [ "$output" = 0 ]
  run inside /t/probe_world abstract "$name"
  [ "$output" != 0 ]
  run jail run --net host --root "$ROOT" -- /t/probe_world abstract "$name"
  host=$output
  kill $listener
  [ "$host" != 0 ]
}

@test "G6 kill -1, SIGKILL to 1 and SIGSTOP stay inside, and stop works" {
  up web
  jail exec web sh -c 'kill -KILL 1; kill -STOP 1; kill -9 -1; true' || true
  run jail ls
  [ "$status" -eq 0 ]
  start=$SECONDS
  jail destroy -f web
  [ $((SECONDS - start)) -lt 10 ]
}

@test "G7 System V objects of the host are not seen" {
  id=$(ipcmk -M 4096 | tr -dc 0-9)
  run inside cat /proc/sysvipc/shm
  ipcrm -m "$id"
  [ "$(wc -l <<<"$output")" -le 1 ]
}

@test "G8 the host's name is neither shown nor set" {
  host=$(hostname)
  run inside sh -c 'hostname; hostname evil; cat /etc/hostname /proc/sys/kernel/hostname 2>/dev/null'
  [[ $output != *"$host"* ]]
  [ "$host" = "$(hostname)" ]
}

# --- devices -----------------------------------------------------------------------------------------

@test "devices: none can be made or opened beyond the six" {
  run inside /t/probe_world mknod
  [ -z "$(awk '/^open-/ && $2 == 0' <<<"$output")" ] || { echo "$output"; false; }
  run inside sh -c 'cd /dev; for f in *; do [ -L $f ] || [ ! -c $f ] || echo $f; done'
  for f in $output; do
    case $f in null | zero | full | random | urandom | tty | ptmx | console) ;; *) echo "$f"; false ;; esac
  done
}

# --- J. copying -----------------------------------------------------------------------------------------

@test "J1 J2 cp while the jail swaps folders for links touches only jail files" {
  mkdir -p "$W/j/secret" && echo hostsecret >"$W/j/secret/file"
  up web
  jail exec web sh -c "mkdir -p /r/real; echo jailfile >/r/real/file; ln -s $W/j/secret /r/link"
  "$JAIL" exec web /t/probe_procs swap /r real link &
  for _ in $(seq 30); do
    rm -f "$W/j/out"
    jail cp web:/r/real/file "$W/j/out" 2>/dev/null || true
    [ ! -e "$W/j/out" ] || [ "$(cat "$W/j/out")" = jailfile ]
    echo fromhost >"$W/j/in"
    jail cp "$W/j/in" web:/r/real/in 2>/dev/null || true
    [ ! -e "$W/j/secret/in" ]
  done
  [ "$(cat "$W/j/secret/file")" = hostsecret ]
}

@test "J3 links in what is copied out are not followed on the host" {
  mkdir -p "$W/j3/out" && echo precious >"$W/j3/precious"
  up web
  jail exec web sh -c "mkdir /c && ln -s $W/j3/precious /c/a && ln -s ../../../../..$W/j3 /c/b"
  jail cp web:/c "$W/j3/out/c" || true
  jail exec web sh -c "rm /c/a && echo evil >/c/a && rm /c/b && mkdir /c/b && echo evil >/c/b/precious"
  jail cp web:/c "$W/j3/out" || true
  [ "$(cat "$W/j3/precious")" = precious ]
}

@test "J4 cp does not change modes on the host" {
  mkdir -p "$W/j4" && chmod 711 "$W/j4"
  up web
  jail exec web sh -c 'mkdir -m 777 /d && echo x >/d/f && chmod 4777 /d/f'
  jail cp web:/d/f "$W/j4/f"
  [ "$(stat -c %a "$W/j4")" = 711 ]
  [ "$(stat -c %a "$W/j4/f" | sed 's/.*\(...\)$/\1/')" = 777 ]
  [ ! -u "$W/j4/f" ]
}

@test "J5 a fifo or device in a tree does not hang or come out" {
  up web
  jail exec web sh -c 'mkdir /d && mkfifo /d/fifo && echo x >/d/file'
  run timeout -k 2 40 "$JAIL" cp web:/d "$W/j5"
  [ "$status" -ne 124 ]
  [ ! -p "$W/j5/fifo" ] || [ -z "$(find "$W/j5" -type c -o -type b)" ]
  run timeout -k 2 40 "$JAIL" cp web:/d/fifo "$W/j5.fifo"
  [ "$status" -ne 124 ]
  run timeout -k 2 40 "$JAIL" cp web:/dev/zero "$W/j5.zero"
  [ "$status" -eq 125 ]
}

# --- L, M, N --------------------------------------------------------------------------------------------

@test "M1 stop of what does not want to: ignoring, stopped, full of children" {
  for prog in "/t/probe_procs stubborn" "/t/probe_procs spin" "sh -c 'kill -STOP \$\$'"; do
    eval "jail create --root \"\$ROOT\" m1 $prog"
    jail start m1
    start=$SECONDS
    jail stop -t 500ms m1
    [ $((SECONDS - start)) -lt 10 ]
    jail destroy m1
  done
}

@test "M6 reboot(2) inside is refused" {
  run inside sh -c 'reboot -f 2>&1; poweroff -f 2>&1; echo alive'
  [[ $output == *alive* ]]
}

@test "N8 N9 control sockets are the caller's alone, and none is abstract" {
  up web
  run find "$JAIL_RUN_DIR" -type s -perm /077
  [ -z "$output" ]
  run grep -c '@.*jail' /proc/net/unix
  [ "${output:-0}" -eq 0 ] || ! grep '@.*jail' /proc/net/unix | grep -v jail-test
}

@test "another user can neither see nor join" {
  up web
  run setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/nonexistent "$JAIL" exec web true
  [ "$status" -ne 0 ]
  run setpriv --reuid 65534 --regid 65534 --clear-groups ls "$JAIL_RUN_DIR"
  [ "$status" -ne 0 ]
}

@test "nothing is left behind" { suite_end; }
