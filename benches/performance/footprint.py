"""What the process takes, and how soon it answers."""

import http.client
import json
import socket
import subprocess
import time

from peers import HOST, Running, fetch, new_key
from processes import BINARY, SERVICE_CPU, free_port, on, resident_mib, service_settings, stop
from told import Section, Spread, goal, table

CONNECTIONS = 2_000
QUESTION = "/v1/query?dateFrom=now-31d/d&dateTo=now/d&interval=PT30M&groupBy=routing.queue.id,agent.id&select=conversation.count,handle.time.average,talk.time.average,acw.time.average&pageSize=1"


def measure(wanted):
    key, keys = new_key()
    credentials = {"Authorization": f"Bearer {key}"}
    with Running() as running:
        simulator = running.simulator("--days", 40, "--conversations-per-day", 1_000, "--rate-limit", 100_000)
        starts = Spread([started_in(running, simulator) for _ in range(3 if wanted.quick else 11)])
        port, service = running.service(simulator, REPORTS_AUTH__KEYS=keys)
        time.sleep(3)
        idle = resident_mib(service)

        opened = [kept(port) for _ in range(CONNECTIONS)]
        time.sleep(1)
        connected = resident_mib(service)
        for connection in opened:
            connection.close()

        fetch(port, QUESTION, credentials)
        time.sleep(3)
        family = next(family for family in json.loads(fetch(port, "/v1/cache", credentials)[1])["families"])
        rows_held = json.loads(fetch(port, QUESTION, credentials)[1])["total"]
        full = resident_mib(service)
    size = BINARY.stat().st_size / 2**20
    return Section(
        "The release binary, with a key set, on one processor; the simulator on the other.",
        [
            table(
                ["what", "figure", "goal"],
                [
                    ["the binary, with the simulator, pages and time zones in it", f"{size:.1f} MiB", ""],
                    ["from start to ready, settings in place", f"{starts.median:.0f} ms ({min(starts.values):.0f}–{max(starts.values):.0f})", goal("≤ 100 ms", starts.median <= 100)],
                    ["memory when idle", f"{idle:.1f} MiB resident", ""],
                    ["a kept connection that has asked once", f"{(connected - idle) * 1024 / CONNECTIONS:.1f} KiB resident, of {CONNECTIONS:,}", ""],
                    [
                        "what is held",
                        f"{family['bytes'] / rows_held:.0f} B a row of four metrics, by its own count: {rows_held:,} rows in {family['buckets']:,} buckets",
                        "",
                    ],
                    ["memory with that held, after it was fetched", f"{full:.1f} MiB resident", ""],
                ],
            )
        ],
    )


def started_in(running, simulator):
    """Milliseconds from the start of the process until `/health/ready` answers 200."""
    port = free_port()
    with open(running.directory / "start.log", "ab") as log:
        command = on({SERVICE_CPU}, [BINARY, "serve", "--listen", f"{HOST}:{port}"])
        began = time.perf_counter()
        process = subprocess.Popen(command, env=service_settings(simulator) | {"PATH": "/usr/bin:/bin"}, stdout=log, stderr=log)
        try:
            while True:
                try:
                    connection = http.client.HTTPConnection(HOST, port, timeout=10)
                    connection.request("GET", "/health/ready")
                    if connection.getresponse().status == 200:
                        return (time.perf_counter() - began) * 1000
                except ConnectionRefusedError:
                    pass
                finally:
                    connection.close()
                time.sleep(0.001)
        finally:
            stop(process)


def kept(port):
    connection = socket.create_connection((HOST, port))
    connection.sendall(b"GET /v1/catalog HTTP/1.1\r\nhost: bench\r\n\r\n")
    received = connection.recv(65536)
    if not received.startswith(b"HTTP/1.1 "):
        raise SystemExit(f"a connection is answered {received[:100]}")
    return connection
