#!/bin/sh
# Makes what the VM tests boot, below build/vm: Debian's cloud kernels as a guest needs them,
# the agent's archive, and a small root as ext4 and as EROFS.  Cached by the packages' names.
#   tests/vm/prepare.sh [BUILD-DIRECTORY]
set -eu
cd "$(dirname "$0")/../.."
O=${1:-build/release}
V=build/vm
mkdir -p "$V/deb"

for meta in linux-image-cloud-amd64 linux-image-6.12-cloud-amd64; do
  package=$(apt-cache depends "$meta" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -1)
  [ -n "$package" ] || continue
  release=${package#linux-image-}
  if [ "$(cat "$V/$release/from" 2>/dev/null)" != "$(cksum <"$O/jail-vmm") $package" ]; then
    ls "$V/deb/$package"_*.deb >/dev/null 2>&1 || (cd "$V/deb" && apt-get download -q "$package" >/dev/null 2>&1)
    mkdir -p "$V/$release"
    "$O/jail-vmm" kernel "$(ls "$V/deb/$package"_*.deb | head -1)" "$V/$release"
    echo "$(cksum <"$O/jail-vmm") $package" >"$V/$release/from"
  fi
done
ls "$V"/*/vmlinux >/dev/null 2>&1 || { echo "no kernel package could be had" >&2; exit 1; }

"$O/jail-vmm" archive "$O/jail-agent" "$V/agent.cpio"

if [ ! -e "$V/root.erofs" ]; then
  root=$(mktemp -d)
  mkdir -p "$root/bin" "$root/dev" "$root/etc" "$root/proc" "$root/root" "$root/sys" "$root/tmp" "$root/usr/bin"
  cp /bin/busybox "$root/bin/busybox"
  for applet in cat chmod cp dd df echo env false grep head id kill ls mkdir mount nproc printf ps rm seq sh sha256sum \
    sleep stty sync tail test touch tr true tty uname wc yes; do
    ln -s busybox "$root/bin/$applet"
  done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  mke2fs -q -F -t ext4 -d "$root" "$V/root.ext4" 16M
  mkfs.erofs --quiet "$V/root.erofs" "$root" >/dev/null 2>&1 || mkfs.erofs "$V/root.erofs" "$root" >/dev/null
  rm -rf "$root"
fi
