#!/bin/bash
# Builds the lab machine in build/lab: a disk with a small Debian (the version of this machine,
# so that what is built here runs there), a Debian kernel, and the QEMU that runs them.  Needs root (mmdebstrap) and the packages of tests/packages.txt.
#   tests/lab/build.sh            what is missing or older than its inputs
#   tests/lab/build.sh --force    all of it
# LAB_QEMU=/path/to/qemu-system-x86_64 uses that one instead of unpacking a newer one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
lab=$top/build/lab
mkdir -p "$lab/cache"
exec 9>"$lab/lock"
flock 9
[ "${1:-}" = --force ] && rm -rf "$lab"/{qemu,rootfs,kernel,root.ext4,initrd.gz,vmlinux,labctl,state-*}

suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
case $suite in bookworm | trixie) ;; *) suite=bookworm ;; esac

say() { printf 'lab: %s\n' "$*" >&2; }
newer() { # FILE INPUT...: FILE is there and no input is newer
  local f=$1 i
  shift
  [ -e "$f" ] || return 1
  for i; do [ ! "$i" -nt "$f" ] || return 1; done
}

# The Debian archives that this machine itself uses, for the suite given.
sources() {
  local f
  for f in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    [ -s "$f" ] || continue
    awk -v suite="$1" '
      function put(uri, s) { sub(/^[a-z]+/, suite, s); print "deb " uri " " s " main" }
      /^deb / { for (i = 2; i <= NF; i++) if ($i ~ /^\[/) $i = ""; $0 = $0; if ($2 ~ /debian/) put($2, $3) }
      /^URIs:/ { uri = $2 }
      /^Suites:/ { for (i = 2; i <= NF; i++) if (uri ~ /debian/) put(uri, $i) }' "$f" | sort -u
    return
  done
}

# Debian 13's QEMU forks and executes 4 to 6 times as fast as 12's under emulation.  It is
# unpacked with its own libraries; nothing is installed.
build_qemu() {
  if [ -n "${LAB_QEMU:-}" ]; then
    printf '#!/bin/sh\nexec %s "$@"\n' "$LAB_QEMU" >"$lab/qemu.sh"
    chmod 755 "$lab/qemu.sh"
    return
  fi
  newer "$lab/qemu.sh" && return
  say "unpacking QEMU"
  rm -rf "$lab/qemu"
  sources trixie | mmdebstrap --mode=root --variant=extract --quiet --include=qemu-system-x86,seabios,qemu-utils \
    trixie "$lab/qemu" -
  cat >"$lab/qemu.sh" <<'SH'
#!/bin/sh
d=$(dirname "$0")/qemu
exec "$d/usr/lib64/ld-linux-x86-64.so.2" --library-path "$d/usr/lib/x86_64-linux-gnu" \
  "$d/usr/bin/qemu-system-x86_64" -L "$d/usr/share/qemu" -L "$d/usr/share/seabios" "$@"
SH
  chmod 755 "$lab/qemu.sh"
}

build_rootfs() {
  newer "$lab/rootfs.done" "$here/packages.txt" && return
  say "installing the machine's packages"
  rm -rf "$lab/rootfs"
  # /etc/subuid and the like come with the packages; documentation does not.
  sources "$suite" | mmdebstrap --mode=root --variant=essential --quiet \
    --skip=download/empty --skip=essential/unlink --skip=check/empty \
    --setup-hook='mkdir -p "$1/var/cache/apt/archives"' \
    --setup-hook="sync-in $lab/cache /var/cache/apt/archives" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='force-unsafe-io' \
    --include="$(sed 's/#.*//' "$here/packages.txt" | xargs | tr ' ' ',')" \
    --customize-hook="sync-out /var/cache/apt/archives $lab/cache" \
    "$suite" "$lab/rootfs" -
  rm -rf "$lab"/rootfs/var/cache/apt/archives/* "$lab"/rootfs/var/lib/apt/lists/*
  touch "$lab/rootfs.done"
}

# Debian's own kernel, out of its package; the cloud flavour has no 9p.
build_kernel() {
  local name deb
  newer "$lab/kernel.done" && return
  say "unpacking the kernel"
  name=$(apt-cache depends linux-image-6.12-amd64 linux-image-amd64 2>/dev/null |
    sed -n 's/^ *Depends: \(linux-image-[0-9]\)/\1/p' | head -1)
  rm -rf "$lab/kernel"
  mkdir -p "$lab/kernel" "$lab/cache/kernel"
  (cd "$lab/cache/kernel" && { ls "${name}"_*.deb >/dev/null 2>&1 || apt-get -qq -o APT::Sandbox::User=root download "$name"; })
  deb=$(ls "$lab/cache/kernel/${name}"_*.deb | tail -1)
  dpkg -x "$deb" "$lab/kernel"
  extract_vmlinux "$lab"/kernel/boot/vmlinuz-* "$lab/vmlinux"
  touch "$lab/kernel.done"
}

# The ELF image inside a bzImage (Documentation/arch/x86/boot.rst): QEMU starts it through PVH,
# which saves unpacking it under emulation.
extract_vmlinux() {
  local sects offset length start
  sects=$(od -An -tu1 -j 497 -N1 "$1" | tr -d ' ')
  offset=$(od -An -tu4 -j 584 -N4 "$1" | tr -d ' ')
  length=$(od -An -tu4 -j 588 -N4 "$1" | tr -d ' ')
  start=$(((sects + 1) * 512 + offset))
  dd if="$1" of="$2.packed" bs=1M iflag=skip_bytes,count_bytes skip=$start count=$((length - 4)) status=none
  case $(od -An -tx1 -N4 "$2.packed" | tr -d ' ') in
  fd377a58) xz -dc ;;
  28b52ffd) zstd -qdc ;;
  02214c18) lz4 -dc ;;
  *) gzip -dc ;;
  esac <"$2.packed" >"$2"
  rm "$2.packed"
}

# What containers, networks and virtual machines need; no drivers for real hardware.
MODULES="kernel/arch kernel/crypto kernel/lib kernel/mm kernel/block kernel/virt kernel/security
 kernel/net/9p kernel/net/bridge kernel/net/core kernel/net/ipv4 kernel/net/ipv6 kernel/net/netfilter kernel/net/sched
 kernel/net/unix kernel/net/vmw_vsock kernel/net/802 kernel/net/8021q kernel/net/llc kernel/net/packet kernel/net/netlink
 kernel/fs/9p kernel/fs/netfs kernel/fs/ext4 kernel/fs/jbd2 kernel/fs/mbcache.ko* kernel/fs/overlayfs kernel/fs/fuse
 kernel/fs/squashfs kernel/fs/erofs kernel/fs/autofs kernel/fs/nls kernel/fs/fscache
 kernel/drivers/block kernel/drivers/virtio kernel/drivers/char kernel/drivers/vhost kernel/drivers/firmware
 kernel/drivers/crypto/ccp kernel/drivers/iommu kernel/drivers/md kernel/drivers/dax
 kernel/drivers/net/tun.ko* kernel/drivers/net/tap.ko* kernel/drivers/net/veth.ko* kernel/drivers/net/macvlan.ko*
 kernel/drivers/net/dummy.ko* kernel/drivers/net/ipvlan kernel/drivers/net/virtio_net.ko* kernel/drivers/net/net_failover.ko*
 kernel/drivers/net/vrf.ko* kernel/drivers/net/ifb.ko*"

install_modules() { # VERSION ROOT
  local from=$lab/kernel/lib/modules/$1 to=$2/usr/lib/modules/$1
  rm -rf "$to"
  mkdir -p "$to"
  cp "$from"/modules.builtin* "$from"/modules.order "$to/"
  (cd "$from" && find $(for m in $MODULES; do [ ! -e "$m" ] || echo "$m"; done) -name '*.ko*' -print0 |
    xargs -0 cp --parents -t "$to")
  depmod -b "$2" "$1"
}

# Busybox and the few modules between the kernel and the disk.
build_initrd() { # VERSION ROOT
  local dir=$lab/initrd f b
  rm -rf "$dir"
  mkdir -p "$dir"/{bin,dev,proc,sys,m,root}
  cp "$2/bin/busybox" "$dir/bin/busybox"
  ln -s busybox "$dir/bin/sh"
  for m in virtio_pci virtio_blk virtio_console ext4; do
    modprobe -d "$2" -S "$1" --show-depends "$m" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
  done | awk '!seen[$0]++' | while read -r f; do
    b=$(basename "${f%.xz}")
    case $f in *.xz) xz -dc "$f" ;; *) cat "$f" ;; esac >"$dir/m/$b"
    echo "$b" >>"$dir/m/order"
  done
  install -m755 "$here/initrd-init" "$dir/init"
  (cd "$dir" && find . -print0 | LC_ALL=C sort -z | cpio -0 -o -H newc -R 0:0 --quiet | gzip -6n) >"$lab/initrd.gz"
}

build_disk() {
  local root=$lab/rootfs version
  newer "$lab/root.ext4" "$lab/rootfs.done" "$lab/kernel.done" "$here"/{labctl.c,lab-init,lab-user,initrd-init,build.sh} && return
  say "making the disk"
  version=$(ls "$lab/kernel/lib/modules")
  gcc -O2 -Wall -Wextra -static -o "$lab/labctl" "$here/labctl.c"
  install -m755 "$lab/labctl" "$root/usr/sbin/labctl"
  install -m755 "$here/lab-init" "$root/usr/sbin/lab-init"
  install -m755 "$here/lab-user" "$root/usr/bin/lab-user"
  echo lab >"$root/etc/hostname"
  printf '127.0.0.1 localhost lab\n::1 localhost\n' >"$root/etc/hosts"
  grep -q ^tester: "$root/etc/passwd" || chroot "$root" useradd -m -u 1000 -s /bin/bash tester
  echo tester:100000:65536 | tee "$root/etc/subuid" >"$root/etc/subgid"
  mkdir -p "$root/share"
  install_modules "$version" "$root"
  build_initrd "$version" "$root"
  rm -f "$lab/root.ext4.new"
  truncate -s 4G "$lab/root.ext4.new"
  mke2fs -q -F -t ext4 -O ^has_journal,^metadata_csum,^resize_inode -m 0 -L lab \
    -E lazy_itable_init=1,nodiscard,assume_storage_prezeroed=1,root_owner=0:0 -d "$root" "$lab/root.ext4.new"
  rm -rf "$lab"/state-*
  mv "$lab/root.ext4.new" "$lab/root.ext4"
}

build_qemu
build_rootfs
build_kernel
build_disk
say "ready: kernel $(ls "$lab/kernel/lib/modules"), disk $(du -m "$lab/root.ext4" | cut -f1) MiB"
