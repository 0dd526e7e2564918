#!/bin/sh
# Every lint; prints what is wrong and exits 1 when anything is.
set -eu
cd "$(dirname "$0")/../.."
bad=0
tests/lint/rooms.sh || bad=1
tests/lint/bats.sh || bad=1
for h in src/*/*.h; do
  ${CC:-gcc} -std=c17 -D_GNU_SOURCE -Wall -Wextra -Isrc -x c -fsyntax-only -include "$h" /dev/null || { echo "$h does not compile alone"; bad=1; }
done
if grep -nE '\b(system|popen|strcpy|strcat|sprintf|gets|mktemp|tmpnam|atoi|strtok)[[:space:]]*\(' src/*/*.[ch]; then
  echo "these calls have no place in a privileged program"
  bad=1
fi
exit $bad
