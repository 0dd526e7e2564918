#!/bin/sh
# Runs tests/bats/vm.bats on the real KVM of the lab machine (tests/lab), and proves that it was
# KVM: the monitor must not have taken QEMU.
set -eu
cd "$(dirname "$0")/../.."
make --no-print-directory ${JOBS:--j2} all units >/dev/null
tests/vm/prepare.sh build/release
stage=build/lab/vm-stage
rm -rf "$stage"
mkdir -p "$stage/build/release" "$stage/build/vm" "$stage/tests"
cp build/release/jail-vmm build/release/jail-agent build/release/jail-test-guest "$stage/build/release/"
cp -r tests/bats tests/vm "$stage/tests/"
for d in build/vm/*/; do
  case $d in */deb/) ;; *) cp -r "$d" "$stage/build/vm/" ;; esac
done
cp build/vm/agent.cpio build/vm/root.* "$stage/build/vm/"
tests/lab/run.sh --share "$stage" --timeout 1500 '
  modprobe kvm-amd 2>/dev/null
  cp -r /share /root/vm && cd /root/vm || exit 125
  export JAIL_VM_PREPARED=1 JAIL_BUILD=/root/vm/build/release
  build/release/jail-vmm probe || exit 1
  bats --tap tests/bats/vm.bats'
