#!/bin/sh
# jail beside crun, runc, bubblewrap and the kernel's floor: whole processes, in turn.
#   tests/bench/run.sh [--rounds N] [--jails N] [run|exec|memory|scale]...
# Prints medians, spreads and ratios; build/bench/results.json has the samples.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p build/bench
for p in driver floor; do
  ${CC:-gcc} -std=gnu17 -O2 -Wall -Wextra -o build/bench/$p tests/bench/$p.c
done
printf 'int main(void) { return 0; }\n' | ${CC:-gcc} -O2 -static -x c -o build/bench/true -
exec python3 tests/bench/bench.py "$@"
