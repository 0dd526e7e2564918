#!/usr/bin/env python3
"""A person at a terminal.

    term.py [STEP...] -- COMMAND [ARG...]

Steps, in order: send=TEXT (with \\n, \\xNN), expect=TEXT (waits up to 20 s), size=COLSxROWS,
signal=NAME (to the command), hangup (closes the terminal).  Prints what the terminal showed,
then "[status N]", and "[cooked]" when the terminal's settings at the end are those of the
beginning.  Ends with 0 when every expectation was met.
"""
import errno
import fcntl
import os
import select
import signal
import struct
import sys
import termios
import time


def set_size(fd, text):
    cols, rows = map(int, text.split("x"))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


class Terminal:
    def __init__(self, argv):
        self.master, slave = os.openpty()
        set_size(self.master, "80x24")
        self.seen = b""
        self.mark = 0
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.master)
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for fd in range(3):
                os.dup2(slave, fd)
            os.closerange(3, 64)
            os.execvp(argv[0], argv)

    def read(self, timeout):
        ready, _, _ = select.select([self.master], [], [], timeout)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError as err:
            if err.errno != errno.EIO:
                raise
            data = b""
        self.seen += data
        return bool(data)

    def expect(self, text):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            at = self.seen.find(text, self.mark)
            if at >= 0:
                self.mark = at + len(text)
                return True
            self.read(0.1)
        return False

    def finish(self):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while select.select([self.master], [], [], 0.1)[0] and self.read(0):
                    pass
                return os.waitstatus_to_exitcode(status)
            if self.master >= 0:
                self.read(0.05)
            else:
                time.sleep(0.05)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return "never"


def main():
    split = sys.argv.index("--")
    steps, argv = sys.argv[1:split], sys.argv[split + 1:]
    term = Terminal(argv)
    good = True
    for step in steps:
        word, _, value = step.partition("=")
        data = value.encode().decode("unicode_escape").encode("latin-1")
        if word == "send":
            os.write(term.master, data)
        elif word == "expect":
            if not term.expect(data):
                print(f"[not seen: {value}]")
                good = False
                break
        elif word == "size":
            set_size(term.master, value)
        elif word == "signal":
            os.kill(term.pid, getattr(signal, "SIG" + value))
        elif word == "hangup":
            os.close(term.slave)
            os.close(term.master)
            print("[hung up]")
            os.waitpid(term.pid, 0)
            return 0
        else:
            sys.exit(f"unknown step {step}")
    status = term.finish()
    after = termios.tcgetattr(term.slave)
    text = term.seen.decode("utf-8", "backslashreplace").replace("\r", "")
    print(text, end="" if text.endswith("\n") else "\n")
    print(f"[status {status}]")
    print("[cooked]" if after == term.before else "[raw]")
    return 0 if good else 1


sys.exit(main())
