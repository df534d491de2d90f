// The question on the page, for other programs.

import { key } from "./api";
import { first, questionPath, readable, withValue, type State } from "./state";

export const COPIES = ["URL", "curl", "Power Query", "Grafana"] as const;
export type Copy = (typeof COPIES)[number];

export function copyText(copy: Copy, state: State, origin: string): string {
  switch (copy) {
    case "URL":
      return origin + questionPath(state, "json");
    case "curl":
      return curl(state, origin);
    case "Power Query":
      return powerQuery(state, origin);
    case "Grafana":
      return grafana(state, origin);
  }
}

function curl(state: State, origin: string): string {
  const secret = key() === null ? "" : ` -H "Authorization: Bearer $GENESYS_REPORTS_KEY"`;
  return `curl -sS${secret} ${shell(origin + questionPath(state, "csv"))}`;
}

function shell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A query of Power Query M: CSV read with its first row as names. */
function powerQuery(state: State, origin: string): string {
  const [path = ""] = questionPath(state, "csv").split("?");
  const text = (value: string) => `"${value.replaceAll('"', '""')}"`;
  const fields = new Map<string, string[]>();
  const pairs = state.report === null ? [...state.pairs, ["format", "csv"] as const] : state.pairs;
  for (const [name, value] of pairs) fields.set(name, [...(fields.get(name) ?? []), value]);
  const query = [...fields].map(([name, values]) => {
    const all = values.map(text);
    return `#${text(name)} = ${all.length === 1 ? all[0] : `{${all.join(", ")}}`}`;
  });
  const options = [`RelativePath = ${text(path.slice(1))}`];
  if (query.length > 0) options.push(`Query = [${query.join(", ")}]`);
  // Power Query asks for an anonymous connection when a header says who is asking.
  if (key() !== null) options.push(`Headers = [#"X-API-Key" = GenesysReportsKey]`);
  return [
    "let",
    `    Answer = Web.Contents(${text(origin)}, [${options.join(", ")}]),`,
    "    Rows = Csv.Document(Answer, [Encoding = TextEncoding.Utf8, QuoteStyle = QuoteStyle.Csv]),",
    "    Table = Table.PromoteHeaders(Rows, [PromoteAllScalars = true])",
    "in",
    "    Table",
  ].join("\n");
}

/** A query of Grafana's Infinity data source, over the dashboard's own range. */
function grafana(state: State, origin: string): string {
  const [from, to] = state.report === null ? ["dateFrom", "dateTo"] : ["from", "to"];
  let pairs = state.pairs;
  if (!state.live && (state.report === null || first(pairs, from) !== null)) {
    pairs = withValue(pairs, from, "${__from:date:iso}");
    pairs = withValue(pairs, to, "${__to:date:iso}");
  }
  // Grafana replaces its variables before it escapes, so they must not be escaped here.
  const url = questionPath({ ...state, pairs: [] }, "csv").replace(/\?.*/, "");
  const query = readable(state.report === null ? [...pairs, ["format", "csv"]] : pairs);
  const open = query.replace(/%24%7B(.*?)%7D/g, "${$1}");
  const question = {
    refId: "A",
    type: "csv",
    source: "url",
    parser: "backend",
    format: "table",
    url: origin + url + (open ? "?" + open : ""),
    url_options: { method: "GET", data: "" },
    root_selector: "",
    columns: [],
    filters: [],
  };
  return JSON.stringify(question, null, 2);
}
