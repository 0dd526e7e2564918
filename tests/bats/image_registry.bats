#!/usr/bin/env bats
# Images from and to a real registry: Debian's docker-registry on loopback, in a network namespace of the test.
#   5000 plain HTTP   5001 TLS and htpasswd   5002 TLS and bearer tokens (from 5003)

setup_file() {
  export R=$(mktemp -d /var/tmp/jail-registry-XXXXXX)
  cd "$R"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tests -keyout key.pem -out cert.pem \
    -addext subjectAltName=IP:127.0.0.1,DNS:localhost 2>/dev/null
  htpasswd -Bbn alice secret >htpasswd
  mkdir certs && cp cert.pem certs/ca.crt
  printf 'alice:secret\n' >creds
  registry_conf 5000 plain ""
  registry_conf 5001 basic "
  tls: {certificate: $R/cert.pem, key: $R/key.pem}
auth: {htpasswd: {realm: tests, path: $R/htpasswd}}"
  registry_conf 5002 token "
  tls: {certificate: $R/cert.pem, key: $R/key.pem}
auth: {token: {realm: 'http://127.0.0.1:5003/token', service: tests, issuer: tests, rootcertbundle: $R/cert.pem}}"
  (exec unshare -n sh -c 'ip link set lo up; echo up >ns; exec sleep 1000') >/dev/null 2>&1 3>&- &
  echo $! >pids
  await test -e ns
  export NS=$(cat pids)
  for r in plain basic token; do
    (exec nsenter -t "$NS" -n docker-registry serve $r.yml) >$r.log 2>&1 3>&- &
    echo $! >>pids
  done
  (exec nsenter -t "$NS" -n python3 "$BATS_TEST_DIRNAME/image_token_server.py" 5003 key.pem cert.pem) >token-server.log 2>&1 3>&- &
  echo $! >>pids
  for port in 5000 5001 5002 5003; do await listening $port; done
  python3 "$BATS_TEST_DIRNAME/image_fixtures.py" good "$R"
}

teardown_file() {
  for p in $(cat "$R/pids"); do kill "$p" 2>/dev/null || true; done
  rm -rf "$R"
}

registry_conf() { # port name more
  cat >"$2.yml" <<YML
version: 0.1
storage: {filesystem: {rootdirectory: $R/data-$2}, delete: {enabled: true}}
http:
  addr: 127.0.0.1:$1$3
YML
}

await() { # a condition, for at most 30 s
  for _ in $(seq 300); do "$@" && return 0; sleep 0.1; done
  echo "not in time: $*" >&2
  return 1
}

listening() { ns bash -c "exec 9<>/dev/tcp/127.0.0.1/$1" 2>/dev/null; }

ns() { nsenter -t "$NS" -n "$@"; }

setup() {
  W=$(mktemp -d /var/tmp/jail-image-XXXXXX)
  S=$W/store
  export HOME=$W XDG_RUNTIME_DIR= XDG_CONFIG_HOME=
}

teardown() { rm -rf "$W"; }

image() {
  local c=$1
  shift
  ns timeout 60 "$JAIL_BUILD/jail-image" "$c" --store "$S" --sync never "$@"
}

push_by_skopeo() { # where [options]
  local where=$1
  shift
  ns skopeo --insecure-policy copy -q "$@" "oci:$R/layout:v1" "docker://$where"
}

value() {
  python3 -c 'import json,sys
v = [json.loads(l).get(sys.argv[1]) for l in sys.stdin if l.startswith("{")]
v = [x for x in v if x is not None]
print(v[-1] if not isinstance(v[-1], list) else "\n".join(v[-1]))' "$1"
}

fresh_store() {
  rm -rf "$S"
  image import --name other "$R/root.tar.gz"
  image rm other
}

@test "registry: plain HTTP on loopback, by tag and by digest, OCI and Docker formats, gzip and zstd" {
  push_by_skopeo 127.0.0.1:5000/app:oci --dest-tls-verify=false
  push_by_skopeo 127.0.0.1:5000/app:docker --dest-tls-verify=false --format v2s2
  ns skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$R/zstd:v1" docker://127.0.0.1:5000/app:zstd
  for tag in oci docker zstd; do
    run image pull 127.0.0.1:5000/app:$tag
    echo "$output"
    [ "$status" -eq 0 ]
    [ "$(image inspect 127.0.0.1:5000/app:$tag | value cmd)" = /bin/tool ]
  done
  digest=$(image inspect 127.0.0.1:5000/app:oci | value manifest)
  [ "$(ls "$S/layers" | wc -l)" -eq 3 ] # however compressed, the layers are the same
  rm -rf "$S"
  image pull "127.0.0.1:5000/app@$digest"
  [ "$(image inspect "$digest" | value manifest)" = "$digest" ]
  image check
  run image pull 127.0.0.1:5000/app:nothing
  [ "$status" -eq 125 ]
  [[ "$output" == *"404"*"manifest unknown"* ]]
}

@test "registry: TLS is verified, and a password is needed and kept" {
  push_by_skopeo 127.0.0.1:5001/app:1 --dest-cert-dir "$R/certs" --dest-creds alice:secret
  run image pull --creds-file "$R/creds" 127.0.0.1:5001/app:1
  [ "$status" -eq 125 ]
  [[ "$output" == *certificate* ]]
  run image pull --cert-dir "$R/certs" 127.0.0.1:5001/app:1
  [ "$status" -eq 125 ]
  [[ "$output" == *"user and a password"* ]]
  echo alice:wrong >"$W/creds"
  run image pull --cert-dir "$R/certs" --creds-file "$W/creds" 127.0.0.1:5001/app:1
  [ "$status" -eq 125 ]
  [[ "$output" == *401* ]]
  image pull --cert-dir "$R/certs" --creds-file "$R/creds" 127.0.0.1:5001/app:1
  rm -rf "$S"
  image pull --insecure --creds-file "$R/creds" 127.0.0.1:5001/app:1
  rm -rf "$S"
  ns skopeo login --authfile "$W/.docker/config.json" --cert-dir "$R/certs" -u alice -p secret 127.0.0.1:5001
  image pull --cert-dir "$R/certs" 127.0.0.1:5001/app:1
  image check
}

@test "registry: bearer tokens, anonymous and with credentials" {
  push_by_skopeo 127.0.0.1:5002/public/app:1 --dest-cert-dir "$R/certs" --dest-creds alice:secret
  push_by_skopeo 127.0.0.1:5002/private/app:1 --dest-cert-dir "$R/certs" --dest-creds alice:secret
  run image pull --cert-dir "$R/certs" 127.0.0.1:5002/public/app:1
  echo "$output"
  [ "$status" -eq 0 ]
  run image pull --cert-dir "$R/certs" 127.0.0.1:5002/private/app:1
  [ "$status" -eq 125 ]
  image pull --cert-dir "$R/certs" --creds-file "$R/creds" 127.0.0.1:5002/private/app:1
  echo alice:wrong >"$W/creds"
  run image pull --cert-dir "$R/certs" --creds-file "$W/creds" 127.0.0.1:5002/private/app:2
  [ "$status" -eq 125 ]
  [[ "$output" == *credentials* ]]
}

@test "registry: what is pushed can be pulled into another store by its digest" {
  image import --name mine:1 --tag v1 "$R/layout"
  run image push --cert-dir "$R/certs" --creds-file "$R/creds" mine:1 127.0.0.1:5002/mine/app:7
  echo "$output"
  [ "$status" -eq 0 ]
  digest=$(echo "$output" | value digest)
  run image push --cert-dir "$R/certs" --creds-file "$R/creds" mine:1 127.0.0.1:5002/mine/app:8
  [[ "$output" == *'"stage":"exists"'* ]]
  rm -rf "$S"
  image pull --cert-dir "$R/certs" --creds-file "$R/creds" "127.0.0.1:5002/mine/app@$digest"
  image check
  ns skopeo inspect --cert-dir "$R/certs" --creds alice:secret docker://127.0.0.1:5002/mine/app:8 | grep -q "$digest"
}

@test "registry: short names, mirrors and blocks of registries.conf" {
  push_by_skopeo 127.0.0.1:5000/short/app:1 --dest-tls-verify=false
  cat >"$W/registries.conf" <<EOF
unqualified-search-registries = ["127.0.0.1:5000"] # where short names are looked for
[aliases]
"nick" = "127.0.0.1:5000/short/app"
[[registry]]
prefix = "registry.example/team"
location = "127.0.0.1:9/gone"
[[registry.mirror]]
location = "127.0.0.1:5000/nowhere"
[[registry.mirror]]
location = "127.0.0.1:5000/short"
[[registry]]
location = "blocked.example"
blocked = true
EOF
  image pull --registries-conf "$W/registries.conf" short/app:1
  image pull --registries-conf "$W/registries.conf" nick:1
  image pull --registries-conf "$W/registries.conf" registry.example/team/app:1
  run image ls
  [[ "$output" == *'"name":"registry.example/team/app:1"'* ]]
  [[ "$output" == *'"name":"127.0.0.1:5000/short/app:1"'* ]]
  run image pull --registries-conf "$W/registries.conf" blocked.example/x
  [ "$status" -eq 125 ]
  [[ "$output" == *"blocked by registries.conf"* ]]
}

@test "registry: an interrupted download goes on where it stopped" {
  push_by_skopeo 127.0.0.1:5000/app:resume --dest-tls-verify=false
  image pull 127.0.0.1:5000/app:resume
  blob=$(image inspect 127.0.0.1:5000/app:resume | value config)
  blob=${blob#sha256:}
  half=$(($(stat -c %s "$S/blobs/sha256/$blob") / 2))
  head -c $half "$S/blobs/sha256/$blob" >"$W/half"
  fresh_store
  cp "$W/half" "$S/partial/$blob"
  run ns strace -f -e trace=write,sendto -s 300 -o "$W/trace" "$JAIL_BUILD/jail-image" pull --store "$S" --sync never 127.0.0.1:5000/app:resume
  echo "$output"
  [ "$status" -eq 0 ]
  grep -q "Range: bytes=$half-" "$W/trace"
  image check
  # What was left is wrong: found out, and fetched anew.
  fresh_store
  head -c $half /dev/zero >"$S/partial/$blob"
  image pull 127.0.0.1:5000/app:resume
  image check
}
