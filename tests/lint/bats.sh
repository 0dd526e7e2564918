#!/bin/sh
# bats fails a test at the first failing command, but neither a "[ a ] && [ b ]" whose first
# part fails nor a "! command" counts as one: such a line can never fail a test.
set -eu
cd "$(dirname "$0")/../.."
bad=0
for f in tests/bats/*.bats; do
  [ -f "$f" ] || continue
  if grep -nE '^ +(\[.*\]|grep .*) && ' "$f" | grep -v '||'; then bad=1; fi
  if grep -nE '^ +! ' "$f"; then bad=1; fi
done
[ $bad = 0 ] || echo "tests/bats: these lines cannot fail a test; write one condition on a line"
exit $bad
