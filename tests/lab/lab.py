#!/usr/bin/env python3
"""Runs one command (bash, root) in the lab machine and exits with its status.

The machine is QEMU by emulation with an emulated AMD SVM: a Debian kernel, pure cgroup v2 and a
real /dev/kvm, whatever the host is.  The first run of a configuration boots it (10 s) and saves
its state; every later one resumes a private copy of that state in well under a second.  Nothing
that a command does to the disk stays, except on the share.

124: the time limit; 125: the machine itself failed.
"""
import argparse
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LAB = os.path.normpath(os.path.join(HERE, "../../build/lab"))
CPU = "EPYC,+npt,+nrip-save"  # without nrip-save nested guests lose their timer
BOOT_S = 180


class MachineLost(Exception):
    pass


def connect(path, qemu, deadline):
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            return s
        except OSError:
            s.close()
            if qemu.poll() is not None or time.monotonic() > deadline:
                raise MachineLost("cannot reach the machine")
            time.sleep(0.005)


class Monitor:
    """QEMU's machine protocol (QMP)."""

    def __init__(self, path, qemu, deadline):
        self.file = connect(path, qemu, deadline).makefile("rw")
        self.file.readline()
        self.do("qmp_capabilities")

    def do(self, command, **arguments):
        json.dump({"execute": command, "arguments": arguments}, self.file)
        self.file.write("\n")
        self.file.flush()
        while True:
            line = self.file.readline()
            if not line:
                raise MachineLost("the monitor went away")
            answer = json.loads(line)
            if "error" in answer:
                raise MachineLost(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def share_memory(self):
        """Memory stays in its file; only the devices' state is migrated."""
        self.do("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])

    def wait_migration(self, deadline):
        while True:
            status = self.do("query-migrate").get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled") or time.monotonic() > deadline:
                raise MachineLost("saving the state: " + str(status))
            time.sleep(0.02)


class Agent:
    """labctl.c inside the machine."""

    def __init__(self, path, qemu, deadline):
        self.socket = connect(path, qemu, deadline)

    def send(self, kind, data=b""):
        self.socket.sendall(kind + struct.pack("<I", len(data)) + data)

    def receive(self, n):
        data = b""
        while len(data) < n:
            try:
                more = self.socket.recv(n - len(data))
            except OSError:
                more = b""
            if not more:
                raise MachineLost("the machine went away")
            data += more
        return data

    def run(self, command, share=False):
        self.send(b"T", struct.pack("<Q", time.time_ns()))
        if share:
            self.send(b"M")
        self.send(b"C", command.encode())
        streams = {b"o": sys.stdout.buffer, b"e": sys.stderr.buffer}
        while True:
            kind = self.receive(1)
            data = self.receive(struct.unpack("<I", self.receive(4))[0])
            if kind == b"x":
                status = struct.unpack("<i", data)[0]
                return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            if kind in streams:
                streams[kind].write(data)
                streams[kind].flush()


class Machine:
    def __init__(self, o, tmp, memory, incoming, drive):
        self.console = os.path.join(tmp, "console")
        self.paths = {n: os.path.join(tmp, n) for n in ("agent", "monitor")}
        share = os.path.abspath(o.share) if o.share else os.path.join(tmp, "empty")
        os.makedirs(share, exist_ok=True)
        args = [os.path.join(LAB, "qemu.sh"), "-M", "q35,memory-backend=mem", "-object", memory, *incoming]
        args += ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", CPU, "-m", str(o.mem), "-smp", str(o.smp)]
        args += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        args += ["-kernel", os.path.join(LAB, "vmlinux"), "-initrd", os.path.join(LAB, "initrd.gz")]
        args += ["-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check random.trust_cpu=on"]
        args += ["-chardev", "file,id=console,path=" + self.console, "-serial", "chardev:console"]
        args += ["-chardev", "socket,id=agent,server=on,wait=off,path=" + self.paths["agent"]]
        args += ["-qmp", "unix:%s,server=on,wait=off" % self.paths["monitor"]]
        args += ["-device", "vmgenid,guid=auto", "-device", "virtio-serial-pci"]
        args += ["-device", "virtserialport,chardev=agent,name=lab.ctl", "-device", "virtio-rng-pci"]
        args += ["-drive", drive + ",if=none,id=root,cache=unsafe", "-device", "virtio-blk-pci,drive=root"]
        args += ["-fsdev", "local,id=share,security_model=passthrough,multidevs=remap,path=" + share]
        args += ["-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]
        self.log = open(os.path.join(tmp, "qemu.log"), "w+")
        self.qemu = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def agent(self, deadline):
        return Agent(self.paths["agent"], self.qemu, deadline)

    def monitor(self, deadline):
        return Monitor(self.paths["monitor"], self.qemu, deadline)

    def explain(self):
        self.log.seek(0)
        sys.stderr.write(self.log.read())
        if os.path.exists(self.console):
            with open(self.console, errors="replace") as f:
                sys.stderr.write("".join(f.readlines()[-15:]))

    def kill(self):
        self.qemu.kill()
        self.qemu.wait()


def memory_file(o, path, share):
    return "memory-backend-file,id=mem,size=%dM,mem-path=%s,share=%s" % (o.mem, path, share)


def state_of(o):
    parts = [CPU, str(o.smp), str(o.mem)]
    for name in ("root.ext4", "initrd.gz", "vmlinux", "qemu.sh"):
        st = os.stat(os.path.join(LAB, name))
        parts.append("%s %d %d" % (name, st.st_mtime_ns, st.st_size))
    with open(os.path.abspath(__file__), "rb") as f:
        parts.append(hashlib.sha256(f.read()).hexdigest())
    return os.path.join(LAB, "state-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16])


def save_state(o, state):
    """Boots, brings what commands use into memory, and saves."""
    new = state + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    o = argparse.Namespace(**{**vars(o), "share": None})
    disk = os.path.join(new, "disk")
    # A sparse copy: the state is of the disk as it was then.
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", os.path.join(LAB, "root.ext4"), disk], check=True)
    with tempfile.TemporaryDirectory(prefix="lab.") as tmp:
        m = Machine(o, tmp, memory_file(o, os.path.join(new, "memory"), "on"), [], "format=raw,file=" + disk)
        deadline = time.monotonic() + BOOT_S
        try:
            agent = m.agent(deadline)
            agent.socket.settimeout(BOOT_S)
            if agent.run("sync; for c in bash sh mount ls cat sleep ip bats; do command -v $c; done >/dev/null; true"):
                raise MachineLost("the machine does not run commands")
            monitor = m.monitor(deadline)
            monitor.share_memory()
            monitor.do("migrate", uri="exec:cat > " + os.path.join(new, "devices"))
            monitor.wait_migration(deadline)
        except MachineLost:
            m.explain()
            raise
        finally:
            m.kill()
    os.rename(new, state)


def resume(o, state, tmp):
    m = Machine(o, tmp, memory_file(o, os.path.join(state, "memory"), "off"), ["-incoming", "defer"],
                "format=raw,snapshot=on,file=" + os.path.join(state, "disk"))
    deadline = time.monotonic() + 60
    monitor = m.monitor(deadline)
    monitor.share_memory()
    monitor.do("migrate-incoming", uri="exec:cat " + os.path.join(state, "devices"))
    return m


def options():
    p = argparse.ArgumentParser(prog="tests/lab/run.sh", description=__doc__.split("\n\n")[0])
    p.add_argument("command")
    p.add_argument("--share", metavar="DIR", help="DIR is /share inside, read and write")
    p.add_argument("--smp", type=int, default=1, metavar="N", help="processors; 2 is slower, for races")
    p.add_argument("--mem", type=int, default=2048, metavar="MB")
    p.add_argument("--timeout", type=int, default=900, metavar="SECONDS")
    return p.parse_args()


def main():
    o = options()
    subprocess.run([os.path.join(HERE, "build.sh")], check=True, stderr=None if not os.path.exists(
        os.path.join(LAB, "root.ext4")) else subprocess.DEVNULL)
    state = state_of(o)
    with open(os.path.join(LAB, "lock.state"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(state):
            save_state(o, state)
    tmp = tempfile.mkdtemp(prefix="lab.")
    m = None

    def over(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, over)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(o.timeout)
    try:
        m = resume(o, state, tmp)
        return m.agent(time.monotonic() + 60).run(o.command, bool(o.share))
    except TimeoutError:
        sys.stderr.write("lab: the command took more than %d s\n" % o.timeout)
        return 124
    except MachineLost as lost:
        sys.stderr.write("lab: %s\n" % lost)
        if m:
            m.explain()
        return 125
    finally:
        signal.alarm(0)
        if m:
            m.kill()
        shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (MachineLost, subprocess.CalledProcessError) as failure:
        sys.stderr.write("lab: %s\n" % failure)
        sys.exit(125)
    except KeyboardInterrupt:
        sys.exit(130)
