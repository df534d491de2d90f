// The service's own API, asked as any other client would ask it.

export interface Column {
  name: string;
  title: string;
  type: "text" | "number" | "instant";
  unit: "count" | "milliseconds" | "ratio" | "number" | null;
}

export type Cell = string | number | null;

export interface Meta {
  asOf: string;
  complete: boolean;
  settledThrough: string | null;
  cache: string;
  upstreamCalls: number;
}

export interface Table {
  total: number;
  columns: Column[];
  rows: Cell[][];
  meta: Meta;
}

export interface Parameter {
  name: string;
  title: string;
  description: string;
  type: string;
  multiple: boolean;
  required: boolean;
  default: string | string[] | number | null;
  choices: string[] | null;
}

export interface Report {
  name: string;
  title: string;
  description: string;
  /** What a row of it is. */
  lists: string;
  formats: string[];
  parameters: Parameter[];
}

export interface Named {
  name: string;
  lookup: string;
  uri: string;
}

export interface Dimension {
  name: string;
  upstream: string;
  meaning: string;
  groupable: string[];
  filterable: string[];
  named: Named | null;
}

export interface Catalog {
  dimensions: Dimension[];
  metrics: {
    name: string;
    source: string;
    meaning: string;
    statistics: { statistic: string; unit: string; columns: string[]; overTime: string }[];
  }[];
  kpis: { name: string; source: string; meaning: string; columns: string[] }[];
}

/** Why there is no answer, as the service tells it (RFC 9457). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    title: string,
    readonly detail: string | null,
    readonly errors: { pointer: string; detail: string; suggestion?: string }[],
    readonly requestId: string | null,
  ) {
    super(title);
  }
}

const KEY = "genesys-reports-key";

export function key(): string | null {
  return sessionStorage.getItem(KEY);
}

/** Keeps the API key for as long as this tab is open; null forgets it. */
export function setKey(key: string | null): void {
  if (key === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, key);
}

/** Asks, and turns a failure into a [Problem]. */
export async function ask(path: string, accept: string, signal?: AbortSignal, fields = {}): Promise<Response> {
  const headers = new Headers({ accept, ...fields });
  const held = key();
  if (held !== null) headers.set("authorization", `Bearer ${held}`);
  let response: Response;
  try {
    response = await fetch(path, { headers, signal: signal ?? null });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "The service cannot be reached", null, [], null);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Problem(
    response.status,
    body.title ?? `The service answers ${response.status}`,
    body.detail ?? null,
    body.errors ?? [],
    body.requestId ?? null,
  );
}

export async function json<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await ask(path, "application/json", signal)).json();
}

/** An answer of rows and columns, whatever route it comes from. */
export async function table(path: string, signal?: AbortSignal): Promise<Table> {
  return (await ask(path, "application/vnd.genesys-reports.table+json", signal)).json();
}

export interface Name {
  id: string;
  name: string;
}

interface Names {
  entities: Name[];
}

/** Names with a text in them. */
export async function search(lookup: string, text: string): Promise<Name[]> {
  const path = `/v1/lookups/${lookup}?pageSize=50&search=${encodeURIComponent(text)}`;
  return (await json<Names>(path)).entities;
}

const listings = new Map<string, Promise<Name[]>>();

/** The first thousand names there are, for showing names in place of ids. */
export function names(lookup: string): Promise<Name[]> {
  let listing = listings.get(lookup);
  if (listing === undefined) {
    listing = json<Names>(`/v1/lookups/${lookup}?pageSize=1000`).then((found) => found.entities);
    listing.catch(() => listings.delete(lookup));
    listings.set(lookup, listing);
  }
  return listing;
}
