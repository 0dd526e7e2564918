#!/usr/bin/env python3
"""The benches of jail: see run.sh.  Needs root."""
import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
OUT = os.path.join(TOP, "build/bench")
JAIL = os.environ.get("JAIL", os.path.join(TOP, "build/release/jail"))
MIB = 1 << 20

# name: (what is divided, by what, at most): the promises of the project, each a ratio of medians.
PROMISES = {
    "run / crun run": ("run", "jail", "crun", 0.5),
    "run / bwrap": ("run", "jail", "bwrap", 1.1),
    "run / floor": ("run", "jail", "floor", 2.0),
    "exec / crun exec": ("exec", "jail", "crun", 0.4),
}


def call(*argv, check=True, **more):
    """What a command printed.  Through a file: what it leaves running may hold a pipe for ever."""
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=120, **more)
        out.seek(0)
        said = out.read()
    if check and done.returncode:
        raise SystemExit("bench: %s: exit status %d: %s" % (" ".join(argv), done.returncode, said.strip()))
    return said


def column(name, run, before=None, after=None, ns=None):
    lines = ["column\t" + name]
    if ns:
        lines.append("ns\t%d" % ns)
    for word, argv in (("before", before), ("run", run), ("after", after)):
        if argv:
            lines.append("\t".join([word, *argv]))
    return "\n".join(lines)


def drive(columns, rounds, warmup=5):
    """{column: [milliseconds]} of columns run in turn; a column that fails once ends the bench."""
    done = subprocess.run([os.path.join(OUT, "driver"), str(rounds), str(warmup)], input="\n".join(columns) + "\n",
                          stdout=subprocess.PIPE, text=True, check=True)
    samples = {}
    for line in done.stdout.splitlines():
        name, status, ns = line.split("\t")
        if status != "0":
            raise SystemExit("bench: column '%s' failed with wait status %s" % (name, status))
        samples.setdefault(name, []).append(int(ns) / 1e6)
    return samples


def quantile(v, q):
    s = sorted(v)
    return s[min(len(s) - 1, int(q * len(s)))]


def show(title, samples, base=None):
    print("\n%s" % title)
    print("  %-22s %8s %8s %8s %8s   %s" % ("", "median", "p10", "p90", "min", "x " + base if base else ""))
    for name, v in samples.items():
        ratio = "%.2f" % (statistics.median(v) / statistics.median(samples[base])) if base else ""
        print("  %-22s %8.2f %8.2f %8.2f %8.2f   %s" % (name, statistics.median(v), quantile(v, .1), quantile(v, .9), min(v), ratio))
    sys.stdout.flush()


class Bench:
    def __init__(self, options):
        self.o = options
        self.results = {}
        self.tmp = tempfile.mkdtemp(prefix="jail-bench.")
        self.root = os.path.join(self.tmp, "root")
        os.environ["JAIL_STATE_DIR"] = os.path.join(self.tmp, "state")
        os.environ["JAIL_RUN_DIR"] = os.path.join(self.tmp, "run")
        self.crun_state = os.path.join(self.tmp, "crun")
        self.runc_state = os.path.join(self.tmp, "runc")
        self.make_root()
        self.holder = self.hold_namespace()

    def make_root(self):
        os.chmod(self.tmp, 0o755)
        for d in ("bin", "dev", "proc", "sys", "tmp", "etc"):
            os.makedirs(os.path.join(self.root, d))
        shutil.copy(os.path.join(OUT, "true"), os.path.join(self.root, "true"))
        shutil.copy("/bin/busybox", os.path.join(self.root, "bin/busybox"))
        os.symlink("busybox", os.path.join(self.root, "bin/sh"))
        os.symlink("busybox", os.path.join(self.root, "bin/sleep"))

    def hold_namespace(self):
        """A mount namespace without the v2 mount of a hybrid host, with which crun does not run."""
        script = "umount /sys/fs/cgroup/unified 2>/dev/null; echo; exec sleep infinity"
        p = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", script], stdout=subprocess.PIPE)
        p.stdout.readline()
        return p

    def inside(self, *argv, **more):
        return call("nsenter", "-m", "-t", str(self.holder.pid), "--", *argv, **more)

    def bundle(self, runtime, args):
        """What the runtime itself writes as a default, with the root, the program and the limits of a jail."""
        path = os.path.join(self.tmp, "bundle-%s-%s" % (os.path.basename(runtime), os.path.basename(args[0])))
        os.makedirs(path)
        call(runtime, "spec", cwd=path)
        config = os.path.join(path, "config.json")
        with open(config) as f:
            spec = json.load(f)
        spec["process"].update(terminal=False, args=args)
        spec["root"] = {"path": self.root, "readonly": True}
        spec["linux"]["resources"].update(memory={"limit": 512 * MIB}, pids={"limit": 512}, cpu={"shares": 512})
        with open(config, "w") as f:
            json.dump(spec, f)
        return path

    def crun(self, *args):
        return ["/usr/bin/crun", "--root", self.crun_state, *args]

    def runc(self, *args):
        return ["/usr/sbin/runc", "--root", self.runc_state, *args]

    def jail(self, *args):
        return [JAIL, *args]

    def bench_run(self):
        crun, runc = self.bundle("/usr/bin/crun", ["/true"]), self.bundle("/usr/sbin/runc", ["/true"])
        samples = drive([
            column("floor", [os.path.join(OUT, "floor"), self.root, "/true"]),
            column("jail", self.jail("run", "--root", self.root, "--", "/true")),
            column("bwrap", ["/usr/bin/bwrap", "--unshare-all", "--ro-bind", self.root, "/", "--proc", "/proc", "--dev", "/dev", "/true"]),
            column("crun", self.crun("run", "--bundle", crun, "bench-run"), ns=self.holder.pid),
            column("runc", self.runc("run", "--bundle", runc, "bench-run"), ns=self.holder.pid),
        ], self.o.rounds)
        self.results["run"] = samples
        show("run a static 'true' (ms): jail has all namespaces, a private writable root, seccomp, few capabilities,\n"
             "memory, pids and cpu limits; crun and runc their default spec with the same limits and no seccomp;\n"
             "bwrap neither limits nor seccomp", samples, "floor")

    def bench_exec(self):
        crun = self.bundle("/usr/bin/crun", ["/bin/sleep", "100000"])
        self.inside(*self.crun("run", "--detach", "--bundle", crun, "bench-exec"))
        call(*self.jail("create", "bench", "--root", self.root, "--persist"))
        call(*self.jail("start", "bench"))
        try:
            samples = drive([
                column("jail", self.jail("exec", "bench", "/true")),
                column("crun", self.crun("exec", "bench-exec", "/true"), ns=self.holder.pid),
            ], self.o.rounds)
        finally:
            call(*self.jail("destroy", "--force", "bench"), check=False)
            self.inside(*self.crun("delete", "--force", "bench-exec"), check=False)
        self.results["exec"] = samples
        show("exec a static 'true' in a running jail (ms)", samples, "crun")

    def supervisor_of(self, name):
        return json.loads(call(*self.jail("inspect", "--format", "json", name)))["supervisorPid"]

    def bench_memory(self):
        """What each running jail costs on the host side: its supervisor's private memory."""
        names = ["memory-%d" % i for i in range(5)]
        kib = []
        for n in names:
            call(*self.jail("create", n, "--root", self.root, "--persist"))
            call(*self.jail("start", n))
        try:
            for n in names:
                with open("/proc/%d/smaps_rollup" % self.supervisor_of(n)) as f:
                    kib.append(sum(int(l.split()[1]) for l in f if l.startswith("Private_") and "Hugetlb" not in l))
        finally:
            for n in names:
                call(*self.jail("destroy", "--force", n), check=False)
        self.results["memory"] = {"supervisor_private_kib": kib}
        self.value("supervisor's private memory", statistics.median(kib), 300, "KiB")

    def crowd(self, names):
        for n in names:
            call(*self.jail("create", n, "--root", self.root, "--persist"))
            call(*self.jail("start", n))

    def scale_point(self, count):
        return drive([
            column("start, %d jails" % count, self.jail("start", "probe"), after=self.jail("stop", "-t", "0", "probe")),
            column("exec, %d jails" % count, self.jail("exec", "crowd-0", "/true")),
            column("ls, %d jails" % count, self.jail("ls")),
            column("run, %d jails" % count, self.jail("run", "--root", self.root, "--", "/true")),
        ], max(20, self.o.rounds // 4))

    def bench_scale(self):
        few, many = 10, self.o.jails
        names = ["crowd-%d" % i for i in range(many)]
        call(*self.jail("create", "probe", "--root", self.root, "--persist"))
        samples, made = {}, 0
        try:
            for count in (few, many):
                self.crowd(names[made:count])
                made = count
                samples[count] = self.scale_point(count)
        finally:
            sys.stderr.write("bench: removing %d jails\n" % made)
            for n in names[:made]:
                call(*self.jail("destroy", "--force", n), check=False)
            call(*self.jail("destroy", "--force", "probe"), check=False)
        flat = {k: v for count in samples for k, v in samples[count].items()}
        self.results["scale"] = flat
        show("with %d and %d running jails (ms)" % (few, many), flat)
        for verb in ("start", "exec", "ls", "run"):
            a, b = (statistics.median(flat["%s, %d jails" % (verb, c)]) for c in (many, few))
            self.value("%s with %d jails / with %d" % (verb, many, few), a / b, 1.3, "")

    def value(self, what, is_, at_most, unit):
        self.results.setdefault("values", []).append({"what": what, "is": is_, "at_most": at_most, "unit": unit})

    def close(self):
        self.holder.kill()
        self.holder.wait()
        shutil.rmtree(self.tmp, ignore_errors=True)

    def report(self):
        for what, (bench, a, b, most) in PROMISES.items():
            if bench in self.results:
                v = self.results[bench]
                self.value(what, statistics.median(v[a]) / statistics.median(v[b]), most, "")
                self.value(what + ", 10th percentiles", quantile(v[a], .1) / quantile(v[b], .1), most, "")
        load = os.getloadavg()[0]
        if load > os.cpu_count() / 2 + 1:
            print("\nThe machine was busy (load average %.1f with %d processors): these are numbers of a busy machine." %
                  (load, os.cpu_count()))
        print("\nratios of medians, and what is promised")
        for v in self.results.get("values", []):
            print("  %-40s %8.2f %-4s at most %.1f   %s" % (v["what"], v["is"], v["unit"], v["at_most"],
                                                        "held" if v["is"] <= v["at_most"] else "NOT HELD"))
        path = os.path.join(OUT, "results.json")
        with open(path, "w") as f:
            json.dump({"kernel": platform.release(), "processors": os.cpu_count(), "load": os.getloadavg(),
                       "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "unit": "ms", **self.results}, f, indent=1)
        print("samples: " + os.path.relpath(path, TOP))


def main():
    p = argparse.ArgumentParser(prog="tests/bench/run.sh")
    p.add_argument("--rounds", type=int, default=int(os.environ.get("BENCH_ROUNDS", 100)))
    p.add_argument("--jails", type=int, default=1000, help="how many are many")
    p.add_argument("benches", nargs="*", metavar="run|exec|memory|scale")
    o = p.parse_args()
    if os.geteuid():
        raise SystemExit("bench: needs root, as crun and runc do here")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    b = Bench(o)
    try:
        for name in o.benches or ["run", "exec", "memory", "scale"]:
            getattr(b, "bench_" + name)()
        b.report()
    finally:
        b.close()


if __name__ == "__main__":
    main()
