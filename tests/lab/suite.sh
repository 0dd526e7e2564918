#!/bin/bash
# Runs the unit and bats suites in the lab machine (pure cgroup v2), and closes with
# "N passed, N failed".
#   tests/lab/suite.sh                   all of it, as root
#   tests/lab/suite.sh --user            the bats files, as a plain user with a delegated subtree
#   tests/lab/suite.sh [--user] FILE...  these bats files, or unit tests by name
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
stage=$top/build/lab/stage
as=
[ "${1:-}" = --user ] && as=lab-user && shift
cd "$top" || exit 1
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# Built here (the same Debian 12), because compiling under emulation takes 15 times as long.
make --no-print-directory ${JOBS:--j2} all units >/dev/null || exit 1
rm -rf "$stage"
mkdir -p "$stage/build/release"/{unit,helpers}
cp -a tests VERSION "$stage/"
[ ! -d man ] || cp -a man "$stage/"
find build/release -maxdepth 1 -type f -perm -u=x -name 'jail*' -exec cp -a {} "$stage/build/release/" \;
for u in build/release/unit/*_test; do strip -o "$stage/build/release/unit/$(basename "$u")" "$u"; done
for h in tests/helpers/*.c; do
  [ -e "$h" ] || continue
  ${CC:-gcc} -std=gnu17 -D_GNU_SOURCE -O1 -static -o "$stage/build/release/helpers/$(basename "$h" .c)" "$h" || exit 1
done

units= bats=
for arg; do
  case $arg in
  *.bats) bats="$bats tests/bats/$(basename "$arg")" ;;
  *) units="$units build/release/unit/$(basename "$arg")" ;;
  esac
done
if [ $# -eq 0 ]; then
  bats='tests/bats/*.bats'
  [ -n "$as" ] || units='build/release/unit/*_test'
fi

# The copy is on the machine's own disk: the share knows no device nodes and no overlays.
"$here/run.sh" --share "$stage" --timeout 3000 "
  mkdir /jail && cp -a /share/. /jail && chown -R 1000:1000 /jail && cd /jail || exit 125
  export O=build/release JAIL=/jail/build/release/jail JAIL_BUILD=/jail/build/release
  for u in ${units}; do
    [ -x \$u ] || continue
    echo \"# \$(basename \$u)\"
    timeout 300 \$u 2>&1
    rc=\$?
    [ \$rc = 0 ] || echo \"not ok \$(basename \$u) exited with \$rc\"
  done
  for b in ${bats}; do
    [ -f \$b ] || continue
    echo \"# \$b\"
    $as timeout 1500 bats --tap /jail/\$b 2>&1 || echo \"# \$b exited with \$?\"
  done
  exit 0" | tee "$out"
status=${PIPESTATUS[0]}
passed=$(grep -c '^ok' "$out")
failed=$(grep -c '^not ok' "$out")
# A machine that was lost has shown nothing.
[ "$status" -eq 0 ] || failed=$((failed + 1))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
