"""Answers that are held: the service beside servers that do less."""

import json
import subprocess
import tempfile

from peers import HOST, Running, fetch, new_key
from processes import OTHER_CPUS, beside_the_service
from told import Section, Spread, goal, ratios, table

CONNECTIONS = 32
SIZES = {"1 KB": 1 << 10, "22 KB": 22 << 10, "1 MB": 1 << 20}
QUESTION = (
    "/v1/query?dateFrom=now-30d/d&dateTo=now/d&interval=PT1H&groupBy=routing.queue.id"
    "&select=interval,routing.queue.id,conversation.count,conversation.offered,handle.time.average&format=ndjson&limit="
)

# What wrk itself counts; its errors of status are those of 400 and above.
SCRIPT = """
function done(summary, latency)
    local e = summary.errors
    io.write(string.format('{"requests":%d,"us":%d,"p50":%d,"p99":%d,"errors":%d}\\n', summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def measure(wanted):
    rounds, seconds = (2, 1) if wanted.quick else (7, 4)
    key, keys = new_key()
    with Running() as running:
        simulator = running.simulator("--days", 40, "--conversations-per-day", 400, "--rate-limit", 100_000)
        service, _ = running.service(simulator, REPORTS_AUTH__KEYS=keys, REPORTS_TELEMETRY__LOG_FORMAT="json")
        credentials = {"Authorization": f"Bearer {key}"}
        targets = {name: sized(service, size, credentials) for name, size in SIZES.items()}

        files = running.directory / "files"
        files.mkdir()
        for name, target in targets.items():
            (files / plain(name)).write_bytes(fetch(service, target, credentials)[1])
        bare = running.bare(files)
        behind = running.bare(files, OTHER_CPUS)
        static = running.nginx(f"location / {{ root {files}; }}")
        cache = running.nginx(
            f"location / {{ proxy_pass http://{HOST}:{behind}; proxy_cache held; proxy_cache_valid 200 1h; }}",
            "proxy_cache_path {directory}/held keys_zone=held:10m inactive=1h;",
        )
        varnish = running.varnish(behind)
        peers = {
            "bare axum": (bare, {}),
            "this service": (service, credentials),
            "nginx `proxy_cache`": (cache, {}),
            "nginx, a file": (static, {}),
            "Varnish": (varnish, {}),
        }
        loads = {}
        for name, target in targets.items():
            paths = {peer: target if peer == "this service" else f"/{plain(name)}" for peer in peers}
            for peer, (port, headers) in peers.items():
                wrk(port, paths[peer], headers, 1)
            for _ in range(rounds):
                for peer, (port, headers) in peers.items():
                    loads.setdefault((name, peer), []).append(wrk(port, paths[peer], headers, seconds))
        tag = fetch(service, targets["22 KB"], credentials)[0].headers["ETag"]
        for _ in range(rounds):
            for name, headers in (("200", {}), ("304", {"If-None-Match": tag})):
                loads.setdefault((name, ""), []).append(wrk(service, targets["22 KB"], credentials | headers, seconds))

    def rates(size, peer):
        return [load["requests"] * 1e6 / load["us"] for load in loads[size, peer]]

    rows = []
    for size in SIZES:
        for peer in peers:
            rate = Spread(rates(size, peer))
            p99 = Spread([load["p99"] / 1000 for load in loads[size, peer]])
            share = "1" if peer == "bare axum" else ratios(rates(size, peer), rates(size, "bare axum"))
            rows.append([size, peer, f"{rate.median:,.0f}/s", share, f"{p99.median:.2f} ms"])

    def ours(size, peer):
        return ratios(rates(size, "this service"), rates(size, peer))

    without = ratios(rates("304", ""), rates("200", ""))
    beyond = Spread([(a["p99"] - b["p99"]) / 1000 for a, b in zip(loads["22 KB", "this service"], loads["22 KB", "bare axum"], strict=True)])
    goals = [
        ["of bare axum, 22 KB", ours("22 KB", "bare axum"), goal("≥ 0.85", ours("22 KB", "bare axum").median >= 0.85)],
        *(
            [f"of {peer}, {size}", ours(size, peer), goal("> 1", ours(size, peer).median > 1)]
            for peer in ("nginx `proxy_cache`", "Varnish")
            for size in SIZES
        ),
        ["304 to 200, 22 KB", without, goal("≥ 1.2", without.median >= 1.2)],
        ["p99 beyond bare axum's, 22 KB", f"{beyond.median:.2f} ms", goal("< 1 ms", beyond.median < 1)],
    ]
    return Section(
        f"{rounds} rounds of {seconds} s each, one server after the other in each; {CONNECTIONS} kept connections by wrk on "
        "one processor, each server on the other alone. The service asks for a key, counts every request and has its log at "
        "the level of the default settings; the others do none of that.",
        [
            table(["answer", "server", "answers", "of bare axum (least–most)", "p99"], rows),
            table(["goal", "result", ""], goals),
        ],
    )


def sized(port, size, credentials):
    """A question whose answer has about that many bytes."""
    few, many = 1, 20_000
    while many - few > max(1, few // 100):
        middle = (few + many) // 2
        if len(fetch(port, QUESTION + str(middle), credentials)[1]) < size:
            few = middle
        else:
            many = middle
    return QUESTION + str(many)


def plain(name):
    return name.replace(" ", "").lower()


def wrk(port, path, headers, seconds):
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT)
        script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", script.name]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        command.append(f"http://{HOST}:{port}{path}")
        output = subprocess.run(beside_the_service(command), capture_output=True, text=True, check=True).stdout
    load = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    if load["errors"]:
        raise SystemExit(f"{path} of port {port}: {load['errors']} errors")
    return load
