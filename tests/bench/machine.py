"""What the measurements were made on and of: without it nobody can tell two results apart."""
import os
import platform
import re
import subprocess

import peers


def first_match(path, pattern):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            found = re.search(pattern, f.read(), re.M)
    except OSError:
        return None
    return found.group(1).strip() if found else None


def machine():
    memory = first_match("/proc/meminfo", r"^MemTotal:\s+(\d+)")
    return {
        "cpu": first_match("/proc/cpuinfo", r"^(?:model name|Model)\s*:\s*(.*)$") or platform.machine(),
        "cpus": os.cpu_count(), "kernel": platform.release(), "architecture": platform.machine(),
        "virtual": "hypervisor" in (first_match("/proc/cpuinfo", r"^flags\s*:\s*(.*)$") or "").split(),
        "memory_bytes": int(memory) * 1024 if memory else None,
        "system": first_match("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
        "load_average": [round(x, 2) for x in os.getloadavg()]}


def said(argv, **more):
    """The first line that a command prints; None where there is no such command or it has nothing to say."""
    try:
        out = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=30, **more)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = out.stdout.decode("utf-8", "replace").strip().split("\n")
    return lines[0] if out.returncode == 0 and lines[0] else None


def versions(mcpoold, top, with_peers):
    found = {
        "mcpoold": said([mcpoold, "--version"]), "commit": said(["git", "describe", "--always", "--dirty"], cwd=top),
        "haproxy": said(["haproxy", "-v"]), "nginx": said(["nginx", "-v"]), "python": platform.python_version()}
    if with_peers:
        found["node"] = said([peers.node(), "--version"])
        found.update({peer.key: peers.version(peer.key) for peer in peers.PEERS})
    return {name: version for name, version in found.items() if version}
