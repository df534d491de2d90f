"""The binary's processes, as the tools here start and stop them."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / "target/release/genesys-reports"


def start(log, command, settings):
    """Starts a command with these settings and no others; what it prints goes to the file."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GENESYS", "REPORTS"))}
    with open(log, "wb") as file:
        return subprocess.Popen(
            [str(part) for part in command], env=environment | settings, stdout=file, stderr=subprocess.STDOUT
        )


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port):
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def service_settings(upstream, **more):
    """What points the service at a simulator on that port."""
    url = f"http://127.0.0.1:{upstream}"
    return {
        "GENESYS_API_URL": url,
        "GENESYS_LOGIN_URL": url,
        "GENESYS_CLIENT_ID": "simulated-client",
        "GENESYS_CLIENT_SECRET": "simulated-secret",
        "REPORTS_UPSTREAM__REQUESTS_PER_MINUTE": "100000",
    } | more


def resident_mib(process, of="VmRSS"):
    """What it has in memory, or of `VmHWM` has had at most."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(rf"{of}:\s+(\d+) kB", status)[1]) / 1024


CPUS = os.sched_getaffinity(0)
SERVICE_CPU = max(CPUS)
OTHER_CPUS = CPUS - {SERVICE_CPU} or CPUS
# What is measured is to be the service's time and not the wait of whoever measures it for a processor.
AHEAD = 0 if os.geteuid() else 5


def on(cpus, command):
    return ["nice", "-n", str(AHEAD), "taskset", "-c", ",".join(map(str, cpus)), *map(str, command)]


def beside_the_service(command):
    return on(OTHER_CPUS, command)
