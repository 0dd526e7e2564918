#!/usr/bin/env bats
# The OCI runtime, driven as engines drive it: bundles, sockets, hooks, signals, kills.

bats_require_minimum_version 1.5.0
TESTS=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
OCI_PY="$TESTS/helpers/oci.py"

setup_file() {
  export W="$BATS_FILE_TMPDIR" CG="jail-oci-test-$$"
  export JAIL=${JAIL:-$(cd "$TESTS/.." && pwd)/build/release/jail}
  mkdir -p "$W/bin"
  ln -s "${JAIL_OCI:-$JAIL}" "$W/bin/jail-oci"
  mkdir -p "$W"/rootfs/{bin,dev,etc,proc,sys,tmp,run,mnt}
  cp /bin/busybox "$W/rootfs/bin/"
  for a in sh cat echo env id kill ls mkdir ps pwd sleep stty touch true tty hostname readlink trap; do
    ln -sf busybox "$W/rootfs/bin/$a"
  done
}

setup() {
  export T="$BATS_TEST_TMPDIR" ROOT="$BATS_TEST_TMPDIR/state"
  B="$T/b"
  mkdir -p "$B"
  cp -a "$W/rootfs" "$B/rootfs"
}

teardown() {
  local id
  for id in $(oci list -q 2>/dev/null); do oci delete --force "$id" 2>/dev/null || true; done
  # Nothing may be left of any container of this test.
  [ -z "$(left_behind)" ] || { left_behind >&2; return 1; }
}

teardown_file() {
  local d
  for d in /sys/fs/cgroup/"$CG" /sys/fs/cgroup/*/"$CG"; do [ -d "$d" ] && rmdir "$d" || true; done
}

oci() { "$W/bin/jail-oci" --root "$ROOT" "$@"; }

# bundle ID [python statements on c, the configuration]
bundle() {
  local id=$1
  shift
  rm -f "$B/config.json"
  (cd "$B" && "$W/bin/jail-oci" spec)
  python3 "$OCI_PY" edit "$B/config.json" \
    "c['process']['terminal']=False" "c['process']['args']=['sleep','1000']" \
    "c['linux']['cgroupsPath']='/$CG/$id'" "$@"
}

left_behind() {
  find /sys/fs/cgroup -maxdepth 4 -path "*/$CG/*" -type d 2>/dev/null
  [ ! -d "$ROOT" ] || find "$ROOT" -mindepth 1 ! -name .transit ! -path "$ROOT/.seccomp*"
  grep -l "$T" /proc/[0-9]*/mountinfo 2>/dev/null || true
}

status_of() { oci state "$1" | python3 "$OCI_PY" get status; }

# eventually CONDITION: within ten seconds
eventually() {
  local end=$((SECONDS + 10))
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.05
  done
}
is() { [ "$(status_of "$1")" = "$2" ]; }

@test "a container's life: create, start, exec, kill, delete" {
  bundle c1
  oci create --bundle "$B" --pid-file "$T/pid" c1 </dev/null >/dev/null
  [ "$(status_of c1)" = created ]
  [ "$(cat "$T/pid")" = "$(oci state c1 | python3 "$OCI_PY" get pid)" ]
  [ ! -e "/proc/$(cat "$T/pid")/root/nosuch" ]
  oci start c1
  [ "$(status_of c1)" = running ]
  [ "$(tr '\0' ' ' <"/proc/$(cat "$T/pid")/cmdline")" = "sleep 1000 " ]
  run oci exec c1 sh -c 'echo inside; exit 7'
  [ "$status" -eq 7 ]
  [ "$output" = inside ]
  run -1 oci start c1
  run -1 oci delete c1
  [[ "$output" == *"not stopped: running"* ]]
  oci kill c1 KILL
  eventually is c1 stopped
  run -1 oci kill c1
  [[ "$output" == *"container not running"* ]]
  oci kill --all c1 KILL
  run -1 oci exec c1 true
  oci delete c1
  run -1 oci state c1
  [[ "$output" == *"does not exist"* ]]
  run -1 oci delete c1
  oci delete --force c1
}

@test "run passes output and exit status, and cleans up" {
  bundle r1 "c['process']['args']=['sh','-c','echo out; echo err >&2; exit 42']"
  run --separate-stderr oci run --bundle "$B" r1
  [ "$status" -eq 42 ]
  [ "$output" = out ]
  [ "$stderr" = err ]
  bundle r2 "c['process']['args']=['sh','-c','kill -9 \$\$']" "c['linux']['namespaces']=[n for n in c['linux']['namespaces'] if n['type']!='pid']"
  run oci run --bundle "$B" r2
  [ "$status" -eq 137 ]
  bundle r3
  oci run --detach --bundle "$B" --pid-file "$T/pid" r3 </dev/null >/dev/null
  [ "$(status_of r3)" = running ]
}

@test "a signal to run reaches the program" {
  bundle s1 "c['process']['args']=['sh','-c','trap \"exit 9\" TERM; echo ready; while true; do sleep 0.05; done']"
  "$W/bin/jail-oci" --root "$ROOT" run --bundle "$B" s1 >"$T/out" &
  pid=$!
  eventually grep -q ready "$T/out"
  kill -TERM $pid
  status=0
  wait $pid || status=$?
  [ "$status" -eq 9 ]
}

@test "what cannot be executed says so in the words that engines look for" {
  bundle x1 "c['process']['args']=['/nonexistent']"
  run -1 oci create --bundle "$B" x1
  [[ "$output" == *"'/nonexistent': no such file or directory"* ]]
  bundle x1 "c['process']['args']=['nonexistent']"
  run -1 oci create --bundle "$B" x1
  [[ "$output" == *"'nonexistent': executable file not found in \$PATH"* ]]
  bundle x1 "c['process']['args']=['/etc']"
  run -1 oci create --bundle "$B" x1
  [[ "$output" == *"'/etc': permission denied"* ]]
}

@test "a capability that cannot be granted is a warning" {
  bundle cap1 "c['process']['args']=['sh','-c','while read -r k v; do [ \$k = CapBnd: ] && echo \$v; done </proc/self/status; true']" \
    "c['process']['capabilities']={k:['CAP_KILL','CAP_SYS_RESOURCE','CAP_OF_2040'] for k in ('bounding','effective','permitted')}"
  run --separate-stderr capsh --drop=cap_sys_resource -- -c "exec $W/bin/jail-oci --root $ROOT run --bundle $B cap1"
  [ "$status" -eq 0 ]
  [ "$output" = 0000000000000020 ]
  [[ "$stderr" == *"warning"*"CAP_SYS_RESOURCE"* ]]
}

@test "a malformed configuration is one line naming the path, also in the JSON log" {
  bundle m1 "c['linux']['namespaces'][0]['type']='x'"
  run -1 oci --log "$T/log" --log-format json create --bundle "$B" m1
  [ "${#lines[@]}" -eq 1 ]
  [[ "$output" == *"linux.namespaces[0].type: expected one of 'pid'"*"found 'x'"* ]]
  [ "$(python3 "$OCI_PY" get level <"$T/log")" = error ]
  [[ "$(python3 "$OCI_PY" get msg <"$T/log")" == *"linux.namespaces[0].type"* ]]
  run -1 oci --log="$T/log" --log-format=json start nosuch
  [[ "$(tail -1 "$T/log" | python3 "$OCI_PY" get msg)" == *"does not exist"* ]]
  echo '{' >"$B/config.json"
  run -1 oci create --bundle "$B" m1
  [[ "$output" == *"not JSON at line 2, column 1"* ]]
  rm "$B/config.json"
  run -1 oci create --bundle "$B" m1
  [[ "$output" == *"config.json"*"no such file"* ]]
  bundle m1 "c['vm']={'kernel':{'path':'/k'}}"
  run -1 oci create --bundle "$B" m1
  [[ "$output" == *"vm: "* ]]
  bundle m1 "del c['process']['args']"
  run -1 oci create --bundle "$B" m1
  [[ "$output" == *"process.args: required"* ]]
  bundle m1 "c['root']['path']='nosuch'"
  run -1 oci create --bundle "$B" m1
  [[ "$output" == *"root.path"*"nosuch"* ]]
}

@test "ids are checked and taken once" {
  bundle i1
  for id in '' . .. .x a/b 'a b' "$(printf 'a%.0s' {1..300})"; do
    run -1 oci create --bundle "$B" "$id"
    [[ "$output" == *"container id"* ]]
  done
  oci create --bundle "$B" i1 </dev/null >/dev/null
  run -1 oci create --bundle "$B" i1
  [[ "$output" == *"already exists"* ]]
  [ "$(status_of i1)" = created ]
  oci delete i1
}

@test "the environment may be empty" {
  bundle e1
  env -i "$W/bin/jail-oci" --root "$ROOT" create --bundle "$B" e1 </dev/null >/dev/null
  env -i XDG_RUNTIME_DIR= "$W/bin/jail-oci" --root "$ROOT" start e1
  env -i "$W/bin/jail-oci" --root "$ROOT" pause e1
  [ "$(status_of e1)" = paused ]
  run -1 oci exec e1 true
  [[ "$output" == *paused* ]]
  env -i "$W/bin/jail-oci" --root "$ROOT" resume e1
  [ "$(status_of e1)" = running ]
  env -i "$W/bin/jail-oci" --root "$ROOT" kill e1 9
  eventually is e1 stopped
  env -i "$W/bin/jail-oci" --root "$ROOT" delete e1
}

@test "exec takes a process.json and single options" {
  bundle e1
  oci run --detach --bundle "$B" e1 </dev/null >/dev/null
  cat >"$T/process.json" <<'JSON'
{"user":{"uid":5,"gid":6,"additionalGids":[7]},"args":["sh","-c","id; pwd; echo $V; exit 3"],
 "env":["PATH=/bin","V=w"],"cwd":"/tmp"}
JSON
  run oci exec --process "$T/process.json" e1
  [ "$status" -eq 3 ]
  [ "${lines[0]}" = "uid=5 gid=6 groups=6,7" ] || [ "${lines[0]}" = "uid=5 gid=6 groups=7" ]
  [ "${lines[1]}" = /tmp ]
  [ "${lines[2]}" = w ]
  run oci exec --user 8:9 --cwd /mnt --env A=b e1 sh -c 'id -u; id -g; pwd; echo $A'
  [ "$output" = $'8\n9\n/mnt\nb' ]
  oci exec --detach --pid-file "$T/xpid" e1 sleep 500 </dev/null >/dev/null
  grep -q "$(cat "$T/xpid")" <(oci ps --format json e1)
  run oci ps e1
  [[ "$output" == *"sleep 1000"*"sleep 500"* ]]
  run -1 oci exec e1 /nonexistent
  [[ "$output" == *"/nonexistent"* ]]
  run -1 oci exec e1
  run -1 oci exec --process "$B/config.json" e1
  run -1 oci exec --cap CAP_NONSENSE e1 true
}

@test "a terminal goes to the console socket" {
  bundle t1 "c['process']['terminal']=True" "c['process']['args']=['sh','-c','tty; stty size']" \
    "c['process']['consoleSize']={'height':33,'width':77}"
  run -1 oci create --bundle "$B" t1
  [[ "$output" == *"--console-socket"* ]]
  # A path longer than an address holds.
  deep="$T/$(printf 'd%.0s' {1..120})"
  mkdir "$deep"
  python3 "$OCI_PY" console "$deep/s" >"$T/out" &
  eventually test -S "$deep/s"
  oci create --bundle "$B" --console-socket "$deep/s" t1
  oci start t1
  wait $!
  grep -q /dev/ "$T/out"
  grep -q '33 77' "$T/out"
  oci delete --force t1
  bundle t2
  run -1 oci create --bundle "$B" --console-socket "$T/none" t2
  [[ "$output" == *"process.terminal"* ]]
}

@test "run gives a terminal of its own and passes it through" {
  bundle t1 "c['process']['terminal']=True" "c['process']['args']=['sh','-c','tty && read x && echo got \$x']"
  run python3 "$OCI_PY" pty hello "$W/bin/jail-oci" --root "$ROOT" run --bundle "$B" t1
  [ "$status" -eq 0 ]
  [[ "$output" == *"got hello"* ]]
}

@test "descriptors are handed on as asked, and no others" {
  bundle f1 "c['process']['args']=['sh','-c','cat <&3; ls /proc/self/fd; echo \$LISTEN_FDS']"
  echo three >"$T/three"
  run oci run --bundle "$B" --preserve-fds 1 f1 3<"$T/three" 5<"$T/three"
  [ "${lines[0]}" = three ]
  [[ " ${lines[*]} " != *" 5 "* ]]
  LISTEN_FDS=1 run oci run --bundle "$B" f1 3<"$T/three"
  [ "${lines[0]}" = three ]
  [ "${lines[-1]}" = 1 ]
  run -1 oci run --bundle "$B" --preserve-fds 9 f1 3<"$T/three"
  [[ "$output" == *"descriptor"*"not open"* ]]
}

@test "hooks run in order with the state on standard input" {
  cat >"$T/hook" <<EOS
#!/bin/sh
state=\$(cat)
echo "\$1 \$state" >>$T/hooks
EOS
  chmod +x "$T/hook"
  cp "$T/hook" "$B/rootfs/hook"
  mkdir -p "$B/rootfs$T"
  bundle h1 "c['hooks']={k:[{'path':'$T/hook','args':['hook',k]}] for k in ('prestart','createRuntime','poststart','poststop')}" \
    "c['annotations']={'a.b':'c'}"
  oci create --bundle "$B" h1 </dev/null >/dev/null
  [ "$(cut -d' ' -f1 "$T/hooks" | xargs)" = "prestart createRuntime" ]
  oci start h1
  oci delete --force h1
  [ "$(cut -d' ' -f1 "$T/hooks" | xargs)" = "prestart createRuntime poststart poststop" ]
  while read -r name json; do
    [ "$(python3 "$OCI_PY" get id <<<"$json")" = h1 ]
    [ "$(python3 "$OCI_PY" get bundle <<<"$json")" = "$B" ]
    [ "$(python3 "$OCI_PY" get annotations <<<"$json")" = "{'a.b': 'c'}" ]
    echo "$name $(python3 "$OCI_PY" get status <<<"$json")" >>"$T/seen"
  done <"$T/hooks"
  [ "$(xargs <"$T/seen")" = "prestart creating createRuntime creating poststart running poststop stopped" ]
}

@test "a hook that fails ends the container" {
  bundle h1 "c['hooks']={'createRuntime':[{'path':'/bin/false'}]}"
  run -1 oci create --bundle "$B" h1
  [[ "$output" == *"createRuntime hook '/bin/false'"* ]]
  run -1 oci state h1
  bundle h2 "c['hooks']={'poststart':[{'path':'/bin/false'}]}"
  oci create --bundle "$B" h2 </dev/null >/dev/null
  run -1 oci start h2
  [[ "$output" == *"poststart hook"* ]]
  eventually is h2 stopped
  oci delete h2
  bundle h3 "c['hooks']={'createRuntime':[{'path':'/bin/sleep','args':['sleep','100'],'timeout':1}]}"
  run -1 oci create --bundle "$B" h3
  bundle h4 "c['hooks']={'poststop':[{'path':'/bin/false'}]}"
  oci create --bundle "$B" h4 </dev/null >/dev/null
  run -0 oci delete h4
  [[ "$output" == *"warning"*"poststop hook"* ]]
}

@test "a hook may ask for the state, which is creating" {
  cat >"$T/hook" <<EOS
#!/bin/sh
exec $W/bin/jail-oci --root $ROOT state h1 >$T/seen
EOS
  chmod +x "$T/hook"
  bundle h1 "c['hooks']={'createRuntime':[{'path':'$T/hook'}]}"
  oci create --bundle "$B" h1 </dev/null >/dev/null
  [ "$(python3 "$OCI_PY" get status <"$T/seen")" = creating ]
}

@test "limits are set, told and changed" {
  bundle l1 "c['linux']['resources']['pids']={'limit':77}"
  oci run --detach --bundle "$B" l1 </dev/null >/dev/null
  limit() { oci events --stats l1 | python3 "$OCI_PY" get data.pids.limit; }
  [ "$(limit)" = 77 ]
  oci update --pids-limit 66 l1
  [ "$(limit)" = 66 ]
  echo '{"pids":{"limit":55}}' | oci update --resources - l1
  [ "$(limit)" = 55 ]
  echo '{"pids":{"limit":44}}' | oci update --resources=- l1
  [ "$(limit)" = 44 ]
  echo '{"pids":{"limit":"x"}}' >"$T/bad"
  run -1 oci update -r "$T/bad" l1
  [[ "$output" == *"pids.limit: expected an integer"* ]]
}

@test "list shows every container, as a table and as JSON" {
  [ "$(oci list --format json)" = "[]" ]
  bundle a1 && oci create --bundle "$B" a1 </dev/null >/dev/null
  bundle b1 && oci create --bundle "$B" b1 </dev/null >/dev/null
  [ "$(oci list -q | xargs)" = "a1 b1" ]
  [[ "$(oci list)" == *"a1"*"created"*"$B"*"root"* ]]
  oci list --format=json | python3 "$OCI_PY" check "[x['id'] for x in c]==['a1','b1'] and c[0]['status']=='created'"
}

@test "the seccomp listener gets the descriptor and the state" {
  bundle n1 "c['linux']['seccomp']={'defaultAction':'SCMP_ACT_ALLOW','listenerPath':'$T/s','listenerMetadata':'meta','syscalls':[{'names':['mknodat'],'action':'SCMP_ACT_NOTIFY'}]}"
  python3 "$OCI_PY" listener "$T/s" >"$T/out" &
  listener=$!
  eventually test -S "$T/s"
  oci run --detach --bundle "$B" n1 </dev/null >/dev/null
  wait $listener
  python3 "$OCI_PY" check "c['fds']==['seccompFd'] and c['metadata']=='meta' and c['state']['id']=='n1' and c['pid']>0" <"$T/out"
}

@test "features and spec are JSON that says what is true" {
  "$W/bin/jail-oci" features | python3 "$OCI_PY" check \
    "c['ociVersionMax']=='1.3.0' and 'time' in c['linux']['namespaces'] and c['linux']['seccomp']['enabled'] and 'rro' in c['mountOptions']"
  bundle f1
  run -1 "$W/bin/jail-oci" spec --bundle "$B"
  [[ "$output" == *exists* ]]
  "$W/bin/jail-oci" --version | grep -q '^spec: 1.3.0'
  "$W/bin/jail-oci" checkpoint --help | grep -q image-path
  run -1 "$W/bin/jail-oci" craete x
  [[ "$output" == *"did you mean 'create'?"* ]]
}

@test "configurations that real engines wrote run" {
  for config in "$TESTS"/data/oci-bundles/*-config.json; do
    python3 "$OCI_PY" adapt "$config" "$B/config.json" "$B/rootfs" "/$CG/real"
    run oci run --bundle "$B" real
    echo "$config: $output"
    [ "$status" -eq 5 ]
    [ "${lines[0]}" = "hello from 1" ]
  done
}

@test "a damaged state is told and can be deleted" {
  bundle d1
  oci create --bundle "$B" d1 </dev/null >/dev/null
  pid=$(oci state d1 | python3 "$OCI_PY" get pid)
  echo garbage >"$ROOT/d1/state.json"
  run -1 oci state d1
  [[ "$output" == *"damaged"*"delete --force"* ]]
  [ "$(oci list -q 2>/dev/null)" = "" ]
  oci delete --force d1
  eventually test ! -e "/proc/$pid"
}

@test "create killed at any moment leaves nothing that delete does not remove" {
  bundle k1 "c['hooks']={'createRuntime':[{'path':'/bin/true'}]}"
  for ms in $(seq 0 40); do
    timeout -s KILL "$(printf '0.%04d' $((ms * 5)))" "$W/bin/jail-oci" --root "$ROOT" create --bundle "$B" k1 </dev/null >/dev/null 2>&1 || true
    oci delete --force k1
    run -1 oci state k1
  done
  # What was on its way in is swept when it is old enough that nobody can still be at it.
  find "$ROOT/.transit" -mindepth 1 -maxdepth 1 -exec touch -d '1 hour ago' {} +
  oci run --bundle "$B" --config config.json nosuch --nonsense 2>/dev/null || true
  oci create --bundle "$B" k1 </dev/null >/dev/null
  oci delete --force k1
  [ -z "$(ls -A "$ROOT/.transit")" ]
}

@test "delete killed at any moment can be repeated" {
  bundle k1
  for ms in $(seq 0 20); do
    oci create --bundle "$B" k1 </dev/null >/dev/null
    timeout -s KILL "$(printf '0.%04d' $((ms * 5)))" "$W/bin/jail-oci" --root "$ROOT" delete --force k1 >/dev/null 2>&1 || true
    oci delete --force k1
    run -1 oci state k1
  done
  find "$ROOT/.transit" -mindepth 1 -maxdepth 1 -exec touch -d '1 hour ago' {} +
  oci create --bundle "$B" k1 </dev/null >/dev/null
  oci delete --force k1
}

@test "twenty at once" {
  bundle base "c['process']['args']=['sh','-c','exit 6']"
  for i in $(seq 20); do
    mkdir -p "$T/p$i"
    python3 "$OCI_PY" copy "$B/config.json" "$T/p$i/config.json" "c['linux']['cgroupsPath']='/$CG/p$i'" "c['root']['path']='$B/rootfs'"
    oci run --bundle "$T/p$i" "p$i" </dev/null >/dev/null &
    pids[i]=$!
  done
  for i in $(seq 20); do
    status=0
    wait "${pids[i]}" || status=$?
    [ "$status" -eq 6 ]
  done
}

@test "a plain user runs a container without help" {
  plain="$T/plain"
  mkdir -p "$plain/b/rootfs"
  cp -a "$W/rootfs/." "$plain/b/rootfs/"
  chmod 755 "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR" "$(dirname "$BATS_TEST_TMPDIR")"
  cp "${JAIL_OCI:-$JAIL}" "$plain/jail-oci"
  chown -R 4321:4321 "$plain"
  as() { setpriv --reuid=4321 --regid=4321 --clear-groups env -i XDG_RUNTIME_DIR="$plain/run" PATH=/usr/bin:/bin "$@"; }
  as mkdir -m 700 "$plain/run"
  as sh -c "cd $plain/b && ../jail-oci spec --rootless"
  python3 "$OCI_PY" edit "$plain/b/config.json" "c['process']['terminal']=False" \
    "c['process']['args']=['sh','-c','id -u; cat /proc/self/uid_map; exit 4']"
  chown 4321:4321 "$plain/b/config.json"
  run as "$plain/jail-oci" run --bundle "$plain/b" u1
  echo "$output"
  [ "$status" -eq 4 ]
  [ "${lines[0]}" = 0 ]
  [ "$(echo ${lines[1]})" = "0 4321 1" ]
  [ -d "$plain/run/jail/oci" ]
  [ -z "$(as "$plain/jail-oci" list -q)" ]
}

@test "a network device moves in with its addresses" {
  bundle d1 "c['linux']['netDevices']={'jt0':{'name':'eth7'},'jt1':{}}" \
    "c['process']['args']=['sh','-c','ip -o addr; exit 3']" "c['process']['capabilities']={}"
  ln -sf busybox "$B/rootfs/bin/ip"
  # In a network of the test's own: the host's is not touched.
  run unshare -n sh -c "ip link add jt0 type veth peer name jt1 && ip addr add 10.99.0.1/24 dev jt0 && ip addr add fd99::1/64 dev jt0 &&
    $W/bin/jail-oci --root $ROOT run --bundle $B d1; echo rc=\$?; ip -o link"
  echo "$output"
  [[ "$output" == *"eth7 "*"inet 10.99.0.1/24"* ]]
  [[ "$output" == *"eth7 "*"inet6 fd99::1/64"* ]]
  [[ "$output" == *"rc=3"* ]]
  run unshare -n "$W/bin/jail-oci" --root "$ROOT" run --bundle "$B" d1
  [ "$status" -eq 1 ]
  [[ "$output" == *"linux.netDevices: there is no interface 'jt0'"* ]]
}
