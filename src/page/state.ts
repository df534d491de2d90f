// What the page shows, as its address says it: the question as the API takes it, and how it is looked at.

export type View = "line" | "bar" | "number" | "table";
export const VIEWS: readonly View[] = ["line", "bar", "number", "table"];

export type Pairs = readonly (readonly [string, string])[];

export interface State {
  /** The report's name; null for a query composed here. */
  report: string | null;
  /** The parameters of the report or the query. */
  pairs: Pairs;
  /** How it is drawn; null leaves that to what comes. */
  view: View | null;
  /** The column that is drawn; null is the first that can be. */
  measure: string | null;
  /** The column that the table is sorted by, `-` before the name for largest first; null is the answer's order. */
  sort: string | null;
  /** Whether it is the board of queues, which goes on by itself; then there is no report. */
  live: boolean;
}

// No parameter of a report has a dot in its name, so these are never one.
const OWN = "page.";

/** Reads an address. One that says nothing is the first report there is. */
export function fromSearch(search: string): State | null {
  const all = [...new URLSearchParams(search)];
  if (all.length === 0) return null;
  const own = new Map(all.filter(([name]) => name.startsWith(OWN)));
  const view = own.get("page.view");
  return {
    report: own.get("page.report") ?? null,
    pairs: all.filter(([name]) => !name.startsWith(OWN)),
    view: VIEWS.find((known) => known === view) ?? null,
    measure: own.get("page.measure") ?? null,
    sort: own.get("page.sort") ?? null,
    live: own.has("page.live"),
  };
}

/** Writes an address. */
export function toSearch(state: State): string {
  const own: [string, string | null][] = [
    ["page.report", state.report],
    ["page.view", state.view],
    ["page.measure", state.measure],
    ["page.sort", state.sort],
    ["page.live", state.live ? "1" : null],
  ];
  const set = own.filter((pair): pair is [string, string] => pair[1] !== null);
  return "?" + readable([...set, ...state.pairs]);
}

/** The question's own address, in a format. */
export function questionPath(state: State, format: string): string {
  if (state.live) return "/v1/now/queues?" + readable([...state.pairs, ["format", format]]);
  if (state.report === null) return "/v1/query?" + readable([...state.pairs, ["format", format]]);
  const query = readable(state.pairs);
  return `/v1/reports/${encodeURIComponent(state.report)}.${format}` + (query ? "?" + query : "");
}

/** A query string in which what need not be escaped is not: it is read by people. */
export function readable(pairs: Pairs): string {
  const text = (part: string) =>
    encodeURIComponent(part).replace(/%(2F|3A|2C|40)/g, (escaped) => decodeURIComponent(escaped));
  return pairs.map(([name, value]) => `${text(name)}=${text(value)}`).join("&");
}

export function first(pairs: Pairs, name: string): string | null {
  return pairs.find(([known]) => known === name)?.[1] ?? null;
}

/** All values of a list, whether it was repeated or written with commas. */
export function list(pairs: Pairs, name: string): string[] {
  return pairs.filter(([known]) => known === name).flatMap(([, value]) => value.split(",").filter(Boolean));
}

/** The pairs with a parameter set, in its old place; null takes it away. */
export function withValue(pairs: Pairs, name: string, value: string | null): Pairs {
  const at = pairs.findIndex(([known]) => known === name);
  const rest = pairs.filter(([known]) => known !== name);
  if (value === null || value === "") return rest;
  return at < 0 ? [...rest, [name, value]] : [...rest.slice(0, at), [name, value], ...rest.slice(at)];
}
