// What the page works out by itself, as tables of cases.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Column, Table } from "./api";
import { copyText } from "./copy";
import { agoText, durationText } from "./format";
import { MOST_SERIES, drawing, groupColumns, readColumns, sorted } from "./series";
import { fromSearch, list, questionPath, toSearch, withValue, type State } from "./state";

Object.assign(globalThis, { sessionStorage: { getItem: () => null } });

const report: State = {
  report: "queue-performance", pairs: [["from", "now-7d/d"], ["queue", "a,b"]], view: "bar", measure: "handle.time.average",
  sort: "-conversation.offered", live: false,
};
const query: State = {
  report: null,
  pairs: [["dateFrom", "now-7d/d"], ["select", "routing.queue.name,conversation.offered"], ["filter", "media.type:voice"], ["filter", "ani:+49 1"]],
  view: null, measure: null, sort: null, live: false,
};

test("an address holds the whole state", () => {
  for (const state of [report, query, { ...report, report: "queues-now", pairs: [], live: true }]) {
    assert.deepEqual(fromSearch(toSearch(state)), state);
  }
  assert.equal(fromSearch(""), null);
  assert.equal(
    toSearch(report),
    "?page.report=queue-performance&page.view=bar&page.measure=handle.time.average&page.sort=-conversation.offered" +
      "&from=now-7d/d&queue=a,b",
  );
});

test("a question has an address of its own", () => {
  assert.equal(questionPath(report, "csv"), "/v1/reports/queue-performance.csv?from=now-7d/d&queue=a,b");
  assert.equal(
    questionPath(query, "json"),
    "/v1/query?dateFrom=now-7d/d&select=routing.queue.name,conversation.offered&filter=media.type:voice&filter=ani:%2B49%201&format=json",
  );
});

test("parameters keep their place", () => {
  assert.deepEqual(withValue([["a", "1"], ["b", "2"]], "a", "3"), [["a", "3"], ["b", "2"]]);
  assert.deepEqual(withValue([["a", "1"], ["b", "2"]], "a", null), [["b", "2"]]);
  assert.deepEqual(withValue([["a", "1"]], "c", "4"), [["a", "1"], ["c", "4"]]);
  assert.deepEqual(list([["q", "a,b"], ["q", "c"]], "q"), ["a", "b", "c"]);
});

const column = (name: string, type: Column["type"], unit: Column["unit"] = null): Column => ({ name, title: name, type, unit });
const columns = [
  column("interval.start", "instant"), column("routing.queue.id", "text"), column("routing.queue.name", "text"),
  column("conversation.offered", "number", "count"), column("service.level", "number", "ratio"),
];
const table = (rows: Table["rows"]): Table => ({
  total: rows.length, columns, rows,
  meta: { asOf: "2026-03-01T00:00:00.000Z", complete: true, settledThrough: null, cache: "hit", upstreamCalls: 0 },
});
const [first, second] = ["2026-03-01T00:00:00.000+01:00", "2026-03-02T00:00:00.000+01:00"];

test("rows become a line a group, and a bucket in which nothing happened stays open", () => {
  const drawn = drawing(table([[second, "1", "Sales", 2, 0.5], [first, "2", "Support", 5, null], [second, "2", "Support", 7, 1]]), null);
  assert.deepEqual(drawn?.labels, ["2026-03-01", "2026-03-02"]);
  assert.deepEqual(drawn?.series, [{ label: "Support", values: [5, 7] }, { label: "Sales", values: [null, 2] }]);
  assert.deepEqual(drawing(table([[first, "1", "Sales", 2, 0.5]]), "service.level")?.series, [{ label: "Sales", values: [0.5] }]);
  assert.equal(drawing(table([]), null), null);
});

test("groups beyond those that find a place are counted", () => {
  const rows = Array.from({ length: 20 }, (_, at): Table["rows"][number] => [first, String(at), `Queue ${at}`, at + 1, null]);
  const drawn = drawing(table(rows), null);
  assert.deepEqual([drawn?.series.length, drawn?.leftOut, drawn?.series[0]?.label], [MOST_SERIES, 8, "Queue 19"]);
});

test("an id is not read where its name is", () => {
  assert.deepEqual(readColumns(columns), [0, 2, 3, 4]);
  assert.deepEqual(groupColumns(columns), [2]);
  assert.deepEqual(groupColumns([column("routing.queue.id", "text")]), [0]);
});

test("rows are sorted by their values, nothing last either way", () => {
  const rows: Table["rows"] = [[first, "1", "b 10", 2, null], [first, "2", "b 9", 10, 1], [first, "3", "a", null, 0]];
  const ids = (sort: string | null) => sorted(rows, columns, sort).map((row) => row[1]).join("");
  for (const [sort, order] of [
    [null, "123"], ["conversation.offered", "123"], ["-conversation.offered", "213"], ["routing.queue.name", "321"], ["unknown", "123"],
  ] as const) {
    assert.equal(ids(sort), order, String(sort));
  }
});

test("figures are written by their unit", () => {
  for (const [milliseconds, text] of [[950, "1 s"], [59_940, "59.9 s"], [60_000, "1:00 min"], [3_599_600, "1:00:00 h"], [-90_000, "−1:30 min"]] as const) {
    assert.equal(durationText(milliseconds), text);
  }
  assert.equal(agoText("2026-03-01T00:00:00Z", Date.parse("2026-03-01T02:30:00Z")), "2 h ago");
});

test("the question is written as other programs take it", () => {
  const origin = "http://127.0.0.1:8080";
  assert.equal(copyText("URL", report, origin), `${origin}/v1/reports/queue-performance.json?from=now-7d/d&queue=a,b`);
  assert.equal(copyText("curl", report, origin), `curl -sS '${origin}/v1/reports/queue-performance.csv?from=now-7d/d&queue=a,b'`);
  assert.equal(
    copyText("Power Query", query, origin),
    [
      "let",
      `    Answer = Web.Contents("${origin}", [RelativePath = "v1/query", Query = [#"dateFrom" = "now-7d/d", ` +
        `#"select" = "routing.queue.name,conversation.offered", #"filter" = {"media.type:voice", "ani:+49 1"}, #"format" = "csv"]]),`,
      "    Rows = Csv.Document(Answer, [Encoding = TextEncoding.Utf8, QuoteStyle = QuoteStyle.Csv]),",
      "    Table = Table.PromoteHeaders(Rows, [PromoteAllScalars = true])",
      "in",
      "    Table",
    ].join("\n"),
  );
  const infinity = JSON.parse(copyText("Grafana", report, origin));
  assert.equal(infinity.url, `${origin}/v1/reports/queue-performance.csv?from=\${__from:date:iso}&queue=a,b&to=\${__to:date:iso}`);
});
