"""Answers that are not held: a day of conversations in a hundred pages, and figures, each page 150 ms away."""

import datetime
import json
import math
import pathlib
import subprocess
import sys
import time

from peers import Running, fetch, forget, journal
from processes import beside_the_service
from told import Section, Spread, goal, ratios, table

LATENCY = 0.15
PAGE_CONCURRENCY = 10
CLIENTS = pathlib.Path(__file__).with_name("clients")
DETAILS = "/api/v2/analytics/conversations/details/query"


def measure(wanted):
    rounds, per_day = (2, 1_000) if wanted.quick else (3, 7_300)
    day = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=4)
    took, rows = {}, []
    with Running() as running:
        options = ["--days", 6, "--conversations-per-day", per_day, "--rate-limit", 1_000_000, "--latency-ms", int(LATENCY * 1000)]
        simulator = running.simulator(*options)
        begins, ends = f"{day}T00:00:00.000Z", f"{day + datetime.timedelta(days=1)}T00:00:00.000Z"
        # Its data of the day is made before anybody is timed.
        client("httpx_pages", simulator, f"{begins}/{ends}")
        listing = f"/v1/conversations?dateFrom={begins}&dateTo={ends}&format=ndjson"
        figures = f"/v1/query?dateFrom={begins}&dateTo={ends}&interval=PT1H&groupBy=routing.queue.id&select=interval,routing.queue.id,conversation.offered"
        for _ in range(rounds):
            forget(simulator)
            with Running() as fresh:
                service, _ = fresh.service(simulator)
                seconds, content = timed(service, listing)
                took.setdefault("this service", []).append(seconds)
                ours = content.count(b"\n")
                pages = sum(entry["path"] == DETAILS for entry in journal(simulator))
                seconds, again = timed(service, listing)
                took.setdefault("this service, again", []).append(seconds)
                assert again == content
                took.setdefault("figures", []).append(timed(service, figures)[0])
                took.setdefault("figures, again", []).append(timed(service, figures)[0])
            for name, program in (("httpx, page after page", "httpx_pages"), ("the vendor's Python SDK", "sdk_pages")):
                told = client(program, simulator, f"{begins}/{ends}")
                took.setdefault(name, []).append(told["seconds"])
                if told["conversations"] < ours:
                    raise SystemExit(f"{name} read {told['conversations']} conversations, the service {ours}")
    # A token first, as every one of them needs.
    least = LATENCY * (2 + math.ceil((pages - 1) / PAGE_CONCURRENCY))
    took["the least possible"] = [least] * rounds
    for name in ("the least possible", "this service", "this service, again", "httpx, page after page", "the vendor's Python SDK"):
        spread = Spread(took[name])
        rows.append([name, f"{spread.median:.2f} s", ratios(took[name], took["this service"])])
    ours_to_least = ratios(took["this service"], took["the least possible"])
    faster = {name: ratios(took[name], took["this service"]) for name in ("httpx, page after page", "the vendor's Python SDK")}
    figures_took, figures_again = Spread(took["figures"]), Spread(took["figures, again"])
    return Section(
        f"{ours:,} conversations of one day in {pages} pages of 100, {LATENCY * 1000:.0f} ms each, no limit near; {rounds} rounds, the "
        "service started anew in each. Times contain the token. The least possible is a token, the first page, and then the "
        f"others {PAGE_CONCURRENCY} at a time (`upstream.page_concurrency`): {least:.2f} s.",
        [
            table(["who", "seconds", "to this service (least–most)"], rows),
            table(
                ["goal", "result", ""],
                [
                    *([f"times faster than {name}", told, goal("≥ 6", told.median >= 6)] for name, told in faster.items()),
                    ["to the least possible", ours_to_least, goal("≤ 1.1", ours_to_least.median <= 1.1)],
                ],
            ),
            f"The figures of that day by hour and queue, one request upstream: {figures_took.median * 1000:.0f} ms, of which "
            f"{LATENCY * 1000:.0f} are Genesys Cloud's; asked again {figures_again.median * 1000:.1f} ms.\n",
        ],
    )


def timed(port, path):
    began = time.perf_counter()
    _, content = fetch(port, path)
    return time.perf_counter() - began, content


def client(name, port, day):
    command = beside_the_service([sys.executable, CLIENTS / f"{name}.py", port, day])
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
