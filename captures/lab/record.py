"""Record a case again: python -m captures.lab.record [CASE] [-o FOLDER]. Needs root; without a case it lists them."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from captures.lab.cases import CASES, Case
from captures.lab.namespaces import CLIENT, SERVER, Lab, Unavailable, found, needed

KEPT = ("client.pcap", "server.pcap")
_VERSIONS = {
    "tcpdump": ("--version",),
    "nft": ("--version",),
    "caddy": ("version",),
    "openssl": ("version",),
    "haproxy": ("-v",),
    "dnsmasq": ("--version",),
    "curl": ("--version",),
}


def record(name: str, folder: Path) -> Path:
    """Record a case into a folder, which must not exist; raises Unavailable where that cannot be done here."""
    case = CASES[name]
    needed(("ip", *case.needs))
    if folder.exists():
        raise Unavailable(f"{folder} exists")
    with tempfile.TemporaryDirectory(prefix="halfshake-lab-") as scratch:
        work = Path(scratch)
        work.chmod(0o755)  # tcpdump gives up root before it writes
        for file in KEPT:
            (work / file).touch()
            (work / file).chmod(0o666)
        with Lab(work) as lab:
            case.prepare(lab)
            with lab.recording():
                attempts = case.play(lab)
        folder.mkdir(parents=True)
        for file in KEPT:
            shutil.copyfile(work / file, folder / file)
        truth = {"name": f"lab/{name}", "summary": case.summary, "root_cause": case.fault, "attempts": attempts}
        _write(folder / "truth.json", truth | {"events": lab.events, "recorded_with": _recorded_with(case)})
        _write(folder / "expected.json", case.expected)
        (folder / "PROVENANCE.md").write_text(_provenance(name, case, lab), encoding="utf-8")
    return folder


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _recorded_with(case: Case) -> str:
    return f"{', '.join(_versions(case))} in network namespaces, {platform.system()} {platform.release()}"


def _versions(case: Case) -> list[str]:
    versions = [f"Python {platform.python_version()}", f"aioquic {metadata.version('aioquic')}"]
    for program in case.needs:
        path = found(program)
        if path is None or program not in _VERSIONS:
            versions.append(program)  # gtlsserver does not tell
            continue
        done = subprocess.run([path, *_VERSIONS[program]], capture_output=True, text=True)
        first = (done.stdout or done.stderr).splitlines()[0]
        versions.append(first if first.lower().startswith(program) else f"{program} {first.split()[0]}")
    return versions


def _provenance(name: str, case: Case, lab: Lab) -> str:
    commands = "\n".join(f"    {command.replace(str(lab.folder), '.')}" for command in lab.commands)
    rules = (
        "\n".join(f"    {json.dumps({k: v for k, v in e.items() if k not in ('t', 'pid')})}" for e in lab.events)
        or "    none"
    )
    day = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    ends = f"Client {' and '.join(CLIENT)}, server {' and '.join(SERVER)}"
    return f"""# lab/{name}

## What was recorded

{case.summary[0].upper()}{case.summary[1:]}.

## The fault

{case.fault[0].upper()}{case.fault[1:]}.

## How

`make record CASE={name}`, on {day}. {ends}, a bridge between them;
every link delays what is sent by {lab.way_ms} ms. Commands, by namespace:

{commands}

What was done to the network and to processes:

{rules}

`client.pcap` and `server.pcap` were recorded at the interfaces of both ends. `truth.json` was written by the clients:
each attempt with its source port, when it began and what became of it.

## Origin

Recorded with {_recorded_with(case)}. All addresses are from the ranges for documentation (RFC 5737, RFC 3849).
Nothing left the host. Same licence as the project.
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("case", nargs="?", choices=sorted(CASES))
    options.add_argument("-o", "--output", type=Path)
    given = options.parse_args()
    if given.case is None:
        for name, case in CASES.items():
            print(f"{name:24} {case.summary} (needs {', '.join(case.needs)})")
        return 0
    try:
        print(record(given.case, given.output or Path("lab-recordings") / given.case))
    except Unavailable as reason:
        print(f"{given.case} cannot be recorded here: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
