"""What the OCI tests need beyond a shell: JSON, passed descriptors, a terminal."""
import array
import json
import os
import pty
import socket
import sys


def load(path):
    with open(path) as f:
        return json.load(f)


def store(c, path):
    with open(path, "w") as f:
        json.dump(c, f, indent=1)


def edit(path, *statements):
    copy(path, path, *statements)


def copy(source, target, *statements):
    c = load(source)
    for s in statements:
        exec(s, {"c": c})
    store(c, target)


def get(path):
    c = json.load(sys.stdin)
    for key in path.split("."):
        c = c[key]
    print(c)


def check(expression):
    sys.exit(0 if eval(expression, {"c": json.load(sys.stdin)}) else 1)


def adapt(source, target, root, cgroup):
    """A configuration that an engine wrote, without what only its own machine had."""
    c = load(source)
    c["root"] = {"path": root, "readonly": c["root"].get("readonly", False)}
    c.pop("hooks", None)
    c["mounts"] = [m for m in c["mounts"]
                   if "bind" not in m.get("options", []) and "rbind" not in m.get("options", [])]
    for n in c["linux"]["namespaces"]:
        n.pop("path", None)
    c["linux"]["cgroupsPath"] = cgroup
    c["linux"].get("resources", {}).pop("blockIO", None)
    c["linux"].pop("uidMappings", None)
    c["linux"].pop("gidMappings", None)
    c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "user"]
    p = c["process"]
    p["terminal"] = False
    p["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 512}]
    p.pop("oomScoreAdj", None)
    p["user"] = {"uid": 0, "gid": 0}
    p["cwd"] = "/"
    p["args"] = ["/bin/sh", "-c", "echo hello from $$; exit 5"]
    store(c, target)


def receive(path):
    s = socket.socket(socket.AF_UNIX)
    # The name may be too long for an address: by way of its directory.
    os.chdir(os.path.dirname(path))
    s.bind(os.path.basename(path))
    s.listen(1)
    s.settimeout(20)
    conn, _ = s.accept()
    conn.settimeout(20)
    data, anc, _, _ = conn.recvmsg(65536, socket.CMSG_SPACE(4))
    fds = array.array("i")
    fds.frombytes(anc[0][2][:4])
    return data, fds[0]


def read_all(fd):
    while True:
        try:
            chunk = os.read(fd, 4096)
        except OSError:
            return
        if not chunk:
            return
        os.write(1, chunk)


def console(path):
    read_all(receive(path)[1])


def listener(path):
    data, fd = receive(path)
    link = os.readlink(f"/proc/self/fd/{fd}")
    assert "seccomp" in link, link
    os.write(1, data)


def run_in_pty(line, *argv):
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(argv[0], argv)
    os.write(fd, line.encode() + b"\n")
    read_all(fd)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


commands = {"edit": edit, "copy": copy, "get": get, "check": check, "adapt": adapt,
            "console": console, "listener": listener, "pty": run_in_pty}
commands[sys.argv[1]](*sys.argv[2:])
