#!/bin/sh
# Unpacking an image: jail against the tools of others, and against tar with the same decompressor.
#   [IMAGES="small large many"] tests/bench/image.sh [RUNS]
# Prints one row per image and tool: median wall seconds, user+system seconds, peak memory in MiB.  Runs of all
# tools are interleaved, so that a busy machine is unfair to none.
#   TMPFS=1: on a tmpfs of its own, which leaves the disk and its other users out of it.
set -eu
cd "$(dirname "$0")/../.."
J=${JAIL_BUILD:-$PWD/build/release}/jail-image
runs=${1:-5}
W=/var/tmp/jail-bench-$$ # podman takes no capitals in it
if [ -n "${TMPFS:-}" ] && [ -z "${IN_TMPFS:-}" ]; then
  IN_TMPFS=1 exec unshare -m "$0" "$@"
fi
mkdir -m 0700 "$W"
[ -z "${IN_TMPFS:-}" ] || mount -t tmpfs -o size=4G,mode=0700 tmpfs "$W"
trap 'chmod -R u+rwX "$W" 2>/dev/null; umount "$W" 2>/dev/null; rm -rf "$W"' EXIT
for tool in umoci igzip time tar python3; do
  command -v $tool >/dev/null || { echo "missing: $tool"; exit 1; }
done

# Three images from what every Debian has: small, large files, many small files.
small() { tar -cf "$W/small.tar" -C / bin/busybox etc/os-release usr/lib/os-release; }
large() {
  (cd / && find usr/lib usr/bin -xdev -type f -size +1M -printf '%s %p\n' | sort -k2 | awk '{s += $1; if (s < 200e6) print substr($0, index($0, " ") + 1)}') |
    tar -cf "$W/large.tar" -C / -T -
}
many() {
  (cd / && find usr/share usr/include usr/lib/python3 -xdev -type f -size -16k | sort | head -10000) | tar -cf "$W/many.tar" -C / -T -
}

layout() { # NAME: an OCI layout of one gzip layer
  python3 - "$W/$1.tar" "$W/$1.oci" <<'EOF'
import gzip, hashlib, json, os, shutil, subprocess, sys
tar, dir = sys.argv[1:]
os.makedirs(dir + "/blobs/sha256")
def blob(b):
    h = hashlib.sha256(b).hexdigest()
    open(f"{dir}/blobs/sha256/{h}", "wb").write(b)
    return {"digest": "sha256:" + h, "size": len(b)}
diff = hashlib.sha256(open(tar, "rb").read()).hexdigest()
layer = blob(subprocess.run(["gzip", "-6", "-c", tar], capture_output=True, check=True).stdout)
config = blob(json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + diff]}}).encode())
t = "application/vnd.oci.image."
m = blob(json.dumps({"schemaVersion": 2, "config": {"mediaType": t + "config.v1+json", **config}, "layers": [{"mediaType": t + "layer.v1.tar+gzip", **layer}]}).encode())
json.dump({"schemaVersion": 2, "manifests": [{"mediaType": t + "manifest.v1+json", **m, "annotations": {"org.opencontainers.image.ref.name": "v1"}}]}, open(dir + "/index.json", "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open(dir + "/oci-layout", "w"))
os.symlink(f"{dir}/blobs/sha256/{layer['digest'][7:]}", tar + ".gz")
EOF
}

run_jail() { "$J" import --store "$W/t/store" --sync never -q --name x --tag v1 "$W/$1.oci"; }
run_umoci() { umoci unpack --image "$W/$1.oci:v1" "$W/t/bundle"; }
run_skopeo_umoci() { skopeo --insecure-policy copy -q "oci:$W/$1.oci:v1" "oci:$W/t/copy:v1" && umoci unpack --image "$W/t/copy:v1" "$W/t/bundle"; }
run_igzip_tar() { igzip -dc "$W/$1.tar.gz" | tar -xf - -C "$W/t"; }
run_tar_xz() { tar -xzf "$W/$1.tar.gz" -C "$W/t"; }
run_podman() { unshare -m podman --root "$W/t/root" --runroot "$W/t/run" --storage-driver overlay pull -q "oci:$W/$1.oci:v1"; }

tools="jail umoci igzip_tar tar_xz"
command -v skopeo >/dev/null && tools="$tools skopeo_umoci"
command -v podman >/dev/null && tools="$tools podman"
export W J
for image in ${IMAGES:-small large many}; do
  $image
  layout $image
  for i in $(seq "$runs"); do
    for tool in $tools; do
      rm -rf "$W/t" && mkdir "$W/t"
      {
        sed -n "/^run_$tool() /p" "$0"
        echo "run_$tool $image"
      } >"$W/script"
      /usr/bin/time -a -o "$W/$image.$tool" -f '%e %U %S %M' sh "$W/script" >/dev/null 2>"$W/err" ||
        { echo "$tool failed on $image: $(tail -1 "$W/err")"; exit 1; }
    done
  done
done

python3 - "$W" "${IMAGES:-small large many}" $tools <<'EOF'
import statistics, sys
W, tools = sys.argv[1], sys.argv[3:]
print(f"{'image':6} {'tool':13} {'wall s':>8} {'cpu s':>8} {'MiB':>6}  wall against jail")
for image in sys.argv[2].split():
    base = None
    for tool in tools:
        rows = [[float(x) for x in l.split()] for l in open(f"{W}/{image}.{tool}") if l[0].isdigit()]
        wall, cpu, mem = statistics.median(r[0] for r in rows), statistics.median(r[1] + r[2] for r in rows), max(r[3] for r in rows) / 1024
        base = base or wall
        print(f"{image:6} {tool:13} {wall:8.3f} {cpu:8.3f} {mem:6.1f}  {wall / base if base else 0:.2f}x")
EOF
