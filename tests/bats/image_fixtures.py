#!/usr/bin/env python3
"""Images for image.bats, good and hostile.

  image_fixtures.py good DIR       an OCI layout DIR/layout (tag v1) and DIR/saved.tar as docker save writes
  image_fixtures.py hostile DIR    one directory per case: DIR/CASE/{layout,expect}; expect is text of the error
"""
import gzip, hashlib, io, json, os, subprocess, sys, tarfile

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest(b):
    return "sha256:" + hashlib.sha256(b).hexdigest()


def entry(name, type=tarfile.REGTYPE, data=b"", mode=0o644, link="", pax=None, dev=(0, 0), uid=0, size=None):
    t = tarfile.TarInfo(name)
    t.type, t.mode, t.linkname, t.uid = type, mode, link, uid
    t.size = len(data) if size is None else size
    t.devmajor, t.devminor = dev
    t.pax_headers = pax or {}
    return t, data


def tar(*entries, end=True):
    out = io.BytesIO()
    for t, data in entries:
        out.write(t.tobuf(tarfile.PAX_FORMAT))
        out.write(data + b"\0" * (-len(data) % 512))
    if end:
        out.write(b"\0" * 1024)
    return out.getvalue()


def directory(name, mode=0o755):
    return entry(name, tarfile.DIRTYPE, mode=mode)


def symlink(name, to):
    return entry(name, tarfile.SYMTYPE, link=to, mode=0o777)


def hardlink(name, to):
    return entry(name, tarfile.LNKTYPE, link=to)


class Layout:
    """An OCI layout; each part can be bent before it is written."""

    def __init__(self, dir, tag="v1"):
        self.dir, self.tag = dir, tag
        os.makedirs(dir + "/blobs/sha256", exist_ok=True)

    def blob(self, b, name=None):
        with open(f"{self.dir}/blobs/sha256/{name or hashlib.sha256(b).hexdigest()}", "wb") as f:
            f.write(b)
        return {"digest": digest(b), "size": len(b)}

    def write(self, tars, config=None, bend_layer=None, bend_manifest=None, bend_config=None, compress=gzip.compress,
              media=LAYER + "+gzip", index=None, manifest_bytes=None, bend_desc=None):
        layers = []
        for t in tars:
            layers.append({"mediaType": media, **self.blob(compress(t))})
        c = {"architecture": "amd64", "os": "linux", "config": config or {},
             "rootfs": {"type": "layers", "diff_ids": [digest(t) for t in tars]}}
        if bend_config:
            bend_config(c)
        m = {"schemaVersion": 2, "mediaType": MANIFEST,
             "config": {"mediaType": CONFIG, **self.blob(json.dumps(c).encode())}, "layers": layers}
        if bend_layer:
            bend_layer(self, m["layers"])
        if bend_manifest:
            bend_manifest(m)
        d = {"mediaType": MANIFEST, **self.blob(manifest_bytes or json.dumps(m).encode()),
             "annotations": {"org.opencontainers.image.ref.name": self.tag}}
        if bend_desc:
            bend_desc(self, d)
        with open(self.dir + "/index.json", "w") as f:
            f.write(index or json.dumps({"schemaVersion": 2, "manifests": [d]}))
        with open(self.dir + "/oci-layout", "w") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')
        return c, m


BASE = tar(directory("etc"), directory("tmp", 0o1777), entry("etc/os-release", data=b"ID=test\n"), directory("bin"),
           entry("bin/tool", data=b"#!/bin/sh\n", mode=0o4755), entry("etc/old", data=b"x"), directory("opt/gone"),
           entry("opt/gone/f", data=b"x"))
TOP = tar(entry("etc/.wh.old"), entry("opt/.wh.gone"), entry("tmp/made", data=b"hello"), directory("etc/apt"),
          entry("etc/apt/.wh..wh..opq"), hardlink("tmp/made2", "tmp/made"))


def good(dir):
    run = {"Cmd": ["/bin/tool"], "Env": ["PATH=/bin"], "Labels": {"a": "b"}, "Volumes": {"/data": {}}, "User": "1000"}
    l = Layout(dir + "/layout")
    c, m = l.write([BASE, TOP], run)
    Layout(dir + "/zstd").write([BASE, TOP], run, media=LAYER + "+zstd",
                                compress=lambda b: subprocess.run(["zstd", "-c"], input=b, capture_output=True, check=True).stdout)
    a, b, x = (n * 64 for n in "abc")
    saved = [{"Config": "config.json", "RepoTags": ["saved/app:7"], "Layers": [a + "/layer.tar", b + "/layer.tar"]}]
    with open(dir + "/saved.tar", "wb") as f:
        f.write(tar(directory(a), entry(a + "/layer.tar", data=BASE), directory(b),
                    symlink(b + "/layer.tar", f"../{x}/layer.tar"), directory(x), entry(x + "/layer.tar", data=TOP),
                    entry("config.json", data=json.dumps(c).encode()),
                    entry("manifest.json", data=json.dumps(saved).encode())))
    with open(dir + "/root.tar.gz", "wb") as f:
        f.write(gzip.compress(BASE))


def no_gzip_sum(b):
    z = bytearray(gzip.compress(b))
    z[-6] ^= 1
    return bytes(z)


def layer_cases():
    """One layer each: name, tar, what the error must say."""
    up = "../" * 12
    yield "dotdot", tar(entry(up + "canary", data=b"dead")), "entry '../"
    yield "dotdot-inside", tar(entry("a/../" + up + "canary", data=b"dead")), "'..'"
    yield "dotdot-dir", tar(directory("..")), "entry '../'"
    yield "symlink-write", tar(symlink("s", "/"), entry("s/canary", data=b"dead")), "entry 's/canary'"
    yield "symlink-relative", tar(symlink("s", up), entry("s/canary", data=b"dead")), "entry 's/canary'"
    yield "symlink-chain", tar(symlink("a", "/"), symlink("b", "a"), entry("b/x/canary", data=b"dead")), "entry 'b/x/canary'"
    yield "symlink-dir", tar(symlink("s", "/tmp"), directory("s/evil/")), "entry 's/evil'"
    yield "symlink-proc", tar(symlink("s", "/proc/self/fd"), entry("s/5", data=b"x")), "entry 's/5'"
    yield "symlink-replaces-dir", tar(directory("d"), entry("d/f"), symlink("d", "/"), entry("d/canary", data=b"x")), "entry 'd/canary'"
    yield "hardlink-host", tar(hardlink("h", "/etc/passwd")), "entry 'h'"
    yield "hardlink-dotdot", tar(hardlink("h", up + "etc/passwd")), "entry 'h'"
    yield "hardlink-symlink", tar(symlink("s", "/"), hardlink("h", "s/etc/passwd")), "entry 'h'"
    yield "hardlink-missing", tar(hardlink("h", "nothing")), "entry 'h'"
    yield "root-symlink", tar(symlink(".", "/etc")), "root of the image"
    yield "root-file", tar(entry("./.", data=b"x")), "root of the image"
    yield "whiteout-empty", tar(entry("a/.wh.")), "entry 'a/.wh.'"
    yield "whiteout-dot", tar(entry("a/.wh..")), "entry 'a/.wh..'"
    yield "whiteout-dotdot", tar(entry("a/.wh...")), "entry 'a/.wh...'"
    yield "whiteout-dir", tar(entry(".wh.a/b")), "entry '.wh.a/b'"
    yield "whiteout-symlink", tar(symlink("s", "/"), entry("s/.wh.canary")), "entry 's/.wh.canary'"
    yield "opaque-symlink", tar(symlink("s", "/"), entry("s/.wh..wh..opq")), "entry 's/.wh..wh..opq'"
    yield "whiteout-device", tar(entry("c", tarfile.CHRTYPE)), "entry 'c'"
    yield "deep", tar(entry("a/" * 3000 + "f")), "levels"
    yield "long-component", tar(entry("a" * 256)), "255"
    yield "owner-wraps", tar(entry("f", uid=4294967295)), "entry 'f'"
    yield "escape-in-name", tar(entry("\x1b]0;owned\x07", tarfile.CHRTYPE)), "\\x1b]0;owned\\x07"
    yield "size-lie", tar(entry("f", data=b"abc", size=1 << 20)), "entry 'f'"
    yield "sparse-8-EiB", tar(entry("f", pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "f",
                                              "GNU.sparse.realsize": str((1 << 63) - 1)}, data=b"0\n".ljust(512, b"\0"))), "f"
    yield "truncated", tar(entry("f", data=b"x" * 4000), end=False)[:2000], "entry 'f'"
    yield "bad-checksum", b"".join([tar(entry("f"), end=False), b"\1" + tar(entry("g"))[1:]]), "damaged"
    yield "noise", bytes((i * 7919 >> 3) & 255 for i in range(40000)), "damaged"
    yield "pax-huge", tar(entry("f", pax={"comment": "x" * (2 << 20)})), "damaged"


def image_cases():
    """Whole images: name, arguments of Layout.write, what the error must say."""
    ok = tar(directory("d"), entry("d/f", data=b"fine"))

    def bend(key, value):
        return lambda self, layers: layers[0].__setitem__(key, value)

    def swap(self, layers):
        b = bytearray(gzip.compress(ok))
        b[4] ^= 1  # the time in the header: still good gzip, of the same size
        self.blob(bytes(b), layers[0]["digest"][7:])

    def fifo(self, layers):
        p = f"{self.dir}/blobs/sha256/{layers[0]['digest'][7:]}"
        os.unlink(p)
        os.mkfifo(p)

    def link(self, layers):
        p = f"{self.dir}/blobs/sha256/{layers[0]['digest'][7:]}"
        os.rename(p, p + ".moved")
        os.symlink(p + ".moved", p)

    def loop(self, d):
        d["mediaType"] = INDEX

    def missing(self, layers):
        os.unlink(f"{self.dir}/blobs/sha256/{layers[0]['digest'][7:]}")

    yield "layer-swapped", dict(bend_layer=swap), "digest"
    yield "layer-fifo", dict(bend_layer=fifo), "not a regular file"
    yield "layer-symlink", dict(bend_layer=link), "blobs/sha256/"
    yield "layer-missing", dict(bend_layer=missing), "blobs/sha256/"
    yield "size-small", dict(bend_layer=bend("size", 5)), "larger than"
    yield "size-large", dict(bend_layer=bend("size", 1 << 30)), "its descriptor says"
    yield "size-negative", dict(bend_layer=bend("size", -1)), "size"
    yield "digest-path", dict(bend_layer=bend("digest", "sha256:../../../../../canary")), "not a digest"
    yield "digest-upper", dict(bend_layer=bend("digest", "sha256:" + "A" * 64)), "not a digest"
    yield "digest-md5", dict(bend_layer=bend("digest", "md5:d41d8cd98f00b204e9800998ecf8427e")), "not a digest"
    yield "foreign-url", dict(bend_layer=bend("urls", ["file:///etc/shadow"])), "URL"
    yield "diff-id-wrong", dict(bend_config=lambda c: c["rootfs"].__setitem__("diff_ids", [digest(b"x")])), "expected sha256:"
    yield "diff-id-missing", dict(bend_config=lambda c: c["rootfs"].__setitem__("diff_ids", [])), "names 0 layers"
    yield "layers-128", dict(bend_manifest=lambda m: m.__setitem__("layers", m["layers"] * 128)), "128 layers"
    yield "index-and-manifest", dict(bend_manifest=lambda m: m.__setitem__("manifests", [])), "at once"
    yield "index-loop", dict(bend_desc=loop), "something else"
    yield "manifest-deep", dict(manifest_bytes=b'{"schemaVersion":2,"x":' + b"[" * 300000), "deeper"
    yield "manifest-large", dict(manifest_bytes=b" " * (1 << 20) + b"{}"), "larger than"
    yield "index-garbage", dict(index="\0\1\2"), "not JSON"
    yield "volume-proc", dict(config={"Volumes": {"/proc/sys": {}}}), "volume"
    yield "volume-dotdot", dict(config={"Volumes": {"/a/../..": {}}}), "volume"
    yield "env-huge", dict(config={"Env": ["A=" + "x" * (10 << 20)]}), "configuration"
    yield "gzip-checksum", dict(compress=no_gzip_sum), "checksum"
    yield "gzip-garbage-after", dict(compress=lambda b: gzip.compress(b) + b"garbage"), "gzip data"
    yield "gzip-cut", dict(compress=lambda b: gzip.compress(b)[:-9]), "cut off"
    for name, kw, expect in [("bomb", dict(compress=lambda b: gzip.compress(b, 9)), "entry 'zeros'")]:
        yield name, dict(tars=[tar(entry("zeros", data=b"\0" * (64 << 20)))], **kw), expect


def hostile(dir):
    def case(name, expect, **kw):
        d = f"{dir}/{name}"
        kw.setdefault("tars", [tar(directory("d"), entry("d/f", data=b"fine"))])
        Layout(d + "/layout").write(kw.pop("tars"), **kw)
        with open(d + "/expect", "w") as f:
            f.write(expect)

    for name, t, expect in layer_cases():
        case("tar-" + name, expect, tars=[t])
    for name, kw, expect in image_cases():
        case("image-" + name, expect, **kw)


if __name__ == "__main__":
    {"good": good, "hostile": hostile}[sys.argv[1]](sys.argv[2])
