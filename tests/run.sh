#!/bin/sh
# Runs every test of the tree and closes with "N passed, N failed".
#   tests/run.sh [bats file...]
set -u
cd "$(dirname "$0")/.."
O=${O:-build/release}
export JAIL_BUILD="$PWD/$O" JAIL="$PWD/$O/jail"
export BATS_LIB_PATH="$PWD/tests/bats"
passed=0 failed=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

count() { # a TAP stream on standard input: shown, and counted
  tee "$out"
  passed=$((passed + $(grep -c '^ok' "$out")))
  failed=$((failed + $(grep -c '^not ok' "$out")))
}

if [ $# -eq 0 ]; then
  echo "# lint"
  if tests/lint/run.sh; then echo "ok lint"; else echo "not ok lint"; fi >"$out.lint" 2>&1
  count <"$out.lint"
  rm -f "$out.lint"
  for u in "$O"/unit/*_test; do
    [ -x "$u" ] || continue
    echo "# $(basename "$u")"
    # A crash prints no "not ok": the exit status counts too.
    { timeout 120 "$u" || echo "not ok $(basename "$u") exited with $?"; } >"$out.u" 2>&1
    count <"$out.u"
    rm -f "$out.u"
  done
fi
for b in ${*:-tests/bats/*.bats}; do
  [ -f "$b" ] || continue
  echo "# $b"
  # A file that dies or takes too long prints no "not ok" of its own.
  timeout 1200 bats --tap "$b" >"$out.b" 2>&1 || { r=$?; grep -q '^not ok' "$out.b" || echo "not ok $b exited with $r" >>"$out.b"; }
  count <"$out.b"
  rm -f "$out.b"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
