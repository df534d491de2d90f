"""A wall of dashboards: asked of Genesys Cloud directly, through nginx that keeps answers for a minute, and of this service."""

import asyncio
import datetime
import email.utils
import random
import time

import httpx
from peers import HOST, Running, journal, token
from told import Section, goal, table

VIEWERS = 30
LIMIT = 300
PATH = "/api/v2/analytics/conversations/aggregates/query"
# Twelve panels over the last thirty days, as people build them.
PANELS = [
    ("PT1H", ["queueId"], ["nOffered", "tAnswered", "tAbandon"]),
    ("PT1H", ["queueId"], ["tHandle"]),
    ("PT1H", ["queueId"], ["oServiceLevel"]),
    ("PT1H", ["queueId"], ["tTalk", "tHeld", "tAcw"]),
    ("P1D", ["queueId"], ["nOffered", "tAnswered"]),
    ("P1D", ["queueId"], ["tHandle", "tAcw"]),
    ("P1D", ["mediaType"], ["nOffered"]),
    ("P1D", [], ["tAbandon"]),
    ("PT1H", [], ["nOffered"]),
    (None, ["queueId"], ["nOffered", "tAnswered", "tAbandon", "oServiceLevel"]),
    (None, [], ["tHandle"]),
    ("PT1H", ["queueId"], ["nTransferred", "tAnswered"]),
]


def measure(wanted):
    minutes = 1 if wanted.quick else 5
    with Running() as running:
        options = ["--days", 35, "--conversations-per-day", 300, "--rate-limit", LIMIT, "--latency-ms", 150]
        simulators = [running.simulator(*options) for _ in range(3)]
        nginx = running.nginx(
            f"""location / {{
                proxy_pass http://{HOST}:{simulators[1]};
                proxy_cache held;
                proxy_cache_methods POST;
                proxy_cache_key $request_uri$request_body;
                proxy_cache_valid 200 1m;
                proxy_cache_lock on;
                proxy_ignore_headers Cache-Control Expires;
                client_body_buffer_size 64k;
                add_header Fetched $upstream_http_date;
            }}""",
            "proxy_cache_path {directory}/held keys_zone=held:10m inactive=10m;",
        )
        service, _ = running.service(simulators[2], REPORTS_UPSTREAM__REQUESTS_PER_MINUTE=str(LIMIT))
        ways = [
            Way("directly", simulators[0], token(simulators[0])),
            Way("nginx, a minute", nginx, token(simulators[1])),
            Way("this service", service, "none is needed"),
        ]
        asyncio.run(watched(ways, minutes))
        rows = []
        for way, simulator in zip(ways, simulators, strict=True):
            asked = [entry for entry in journal(simulator) if entry["path"].startswith("/api/")]
            way.upstream = len(asked)
            way.refused_upstream = sum(entry["status"] == 429 for entry in asked)
            ages = sorted(way.ages) or [float("nan")]
            waits = sorted(way.waits) or [float("nan")]
            rows.append(
                [
                    way.name,
                    f"{way.upstream:,}",
                    f"{way.upstream / minutes:,.0f}",
                    way.refused_upstream,
                    f"{way.failed:,} of {way.asked:,}",
                    f"{sum(ages) / len(ages):.0f} s, {ages[-1]:.0f} s",
                    f"{1000 * waits[len(waits) // 2]:.0f} ms, {1000 * waits[len(waits) * 99 // 100]:.0f} ms",
                ]
            )
    directly, nginx, ours = ways
    return Section(
        f"{VIEWERS} viewers × {len(PANELS)} panels, each refreshed once a minute at a moment of its own for {minutes} minutes: figures of "
        f"the last thirty days up to the minute. Three simulators, each with {LIMIT} requests a minute and 150 ms away. A viewer "
        "that is refused shows nothing until the next refresh. Ages are those the answers tell.",
        [
            table(
                ["way", "requests upstream", "a minute", "429 upstream", "panels without an answer", "age: mean, most", "wait: median, p99"],
                rows,
            ),
            table(
                ["goal", "result", ""],
                [
                    ["requests upstream a refresh of all", f"{ours.upstream / minutes:.1f}", goal("≤ 3 (the first fills the cache)", ours.upstream <= 3 * minutes + len(PANELS))],
                    ["429", ours.refused_upstream, goal("0", ours.refused_upstream == 0)],
                    ["fewer than directly", f"{directly.upstream / ours.upstream:.0f} ×", ""],
                    ["fewer than by nginx", f"{nginx.upstream / ours.upstream:.1f} ×", goal("> 1", nginx.upstream > ours.upstream)],
                ],
            ),
        ],
    )


class Way:
    def __init__(self, name, port, credential):
        self.name, self.url, self.credential = name, f"http://{HOST}:{port}{PATH}", credential
        self.asked, self.failed, self.ages, self.waits = 0, 0, [], []
        self.upstream = self.refused_upstream = 0

    async def ask(self, client, panel):
        self.asked += 1
        began = time.monotonic()
        answer = await client.post(self.url, json=question(panel), headers={"Authorization": f"Bearer {self.credential}"})
        self.waits.append(time.monotonic() - began)
        if answer.status_code != 200:
            self.failed += 1
            return
        answer.json()
        if "age" in answer.headers:
            self.ages.append(float(answer.headers["age"]))
        else:
            fetched = answer.headers.get("fetched") or answer.headers["date"]
            self.ages.append(max(0.0, time.time() - email.utils.parsedate_to_datetime(fetched).timestamp()))


def question(panel):
    granularity, group_by, metrics = panel
    now = datetime.datetime.now(datetime.UTC).replace(second=0, microsecond=0) + datetime.timedelta(minutes=1)
    begins = (now - datetime.timedelta(days=30)).replace(hour=0, minute=0)
    asked = {"interval": f"{begins:%Y-%m-%dT%H:%M:%S.000Z}/{now:%Y-%m-%dT%H:%M:%S.000Z}", "metrics": metrics}
    if granularity:
        asked["granularity"] = granularity
    if group_by:
        asked["groupBy"] = group_by
    return asked


async def watched(ways, minutes):
    """The same moments for each way."""
    random.seed(7)
    moments = sorted(
        (60 * minute + offset, panel)
        for offset, panel in [(random.uniform(0, 60), panel) for _ in range(VIEWERS) for panel in range(len(PANELS))]
        for minute in range(minutes)
    )
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client, asyncio.TaskGroup() as tasks:
        began = time.monotonic()
        for moment, panel in moments:
            await asyncio.sleep(max(0, began + moment - time.monotonic()))
            for way in ways:
                tasks.create_task(way.ask(client, PANELS[panel]))
