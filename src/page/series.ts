// From rows to what can be drawn: pure.

import type { Cell, Column, Table } from "./api";
import { bucketTexts } from "./format";

/** Lines that a chart has place for. */
export const MOST_SERIES = 12;

export interface Drawing {
  measure: Column;
  /** Along the axis: buckets or groups. */
  labels: string[];
  /** Whether the axis is time. */
  isTime: boolean;
  series: { label: string; values: (number | null)[] }[];
  /** Series that found no place. */
  leftOut: number;
}

/** Columns that can be drawn. */
export function measures(columns: Column[]): Column[] {
  return columns.filter((column) => column.type === "number");
}

/** Where the column is that says when a bucket starts, if there is one. */
export function timeColumn(columns: Column[]): number {
  const start = columns.findIndex((column) => column.name === "interval.start");
  return start >= 0 ? start : columns.findIndex((column) => column.name === "interval");
}

/** Where a bucket starts, of either way to write one. */
function start(cell: Cell | undefined): string {
  return typeof cell === "string" ? (cell.split("/")[0] ?? "") : "";
}

/** The columns that say what a row is about: a name stands in for its id. */
export function groupColumns(columns: Column[]): number[] {
  return readColumns(columns).filter((index) => {
    const column = columns[index];
    return column?.type === "text" && !column.name.startsWith("interval");
  });
}

/** What a row is about, as text. */
export function groupText(row: Cell[], groups: number[]): string {
  const texts = groups.map((index) => {
    const cell = row[index];
    return cell === null || cell === undefined ? "(none)" : String(cell);
  });
  return texts.join(" · ") || "all";
}

/** The columns that a person reads: an id is left out where its name is there. */
export function readColumns(columns: Column[]): number[] {
  const names = new Set(columns.map((column) => column.name));
  const isRead = ({ name }: Column) => !(name.endsWith(".id") && names.has(name.replace(/\.id$/, ".name")));
  return columns.flatMap((column, index) => (isRead(column) ? [index] : []));
}

export function drawing(table: Table, wanted: string | null): Drawing | null {
  const { columns, rows } = table;
  const drawable = measures(columns);
  const measure = drawable.find((column) => column.name === wanted) ?? drawable[0];
  if (measure === undefined || rows.length === 0) return null;
  const at = columns.indexOf(measure);
  const time = timeColumn(columns);
  const groups = groupColumns(columns);
  const value = (row: Cell[]) => {
    const cell = row[at];
    return typeof cell === "number" ? cell : null;
  };
  if (time < 0) {
    return {
      measure,
      labels: rows.map((row) => groupText(row, groups)),
      isTime: false,
      series: [{ label: measure.title, values: rows.map(value) }],
      leftOut: 0,
    };
  }
  const buckets = [...new Set(rows.map((row) => start(row[time])))].sort((a, b) => Date.parse(a) - Date.parse(b));
  const places = new Map(buckets.map((bucket, index) => [bucket, index]));
  const series = new Map<string, (number | null)[]>();
  for (const row of rows) {
    const label = groupText(row, groups);
    let values = series.get(label);
    if (values === undefined) {
      values = buckets.map(() => null);
      series.set(label, values);
    }
    values[places.get(start(row[time])) as number] = value(row);
  }
  const size = (values: (number | null)[]) => values.reduce((sum: number, one) => sum + Math.abs(one ?? 0), 0);
  const all = [...series]
    .filter(([, values]) => values.some((value) => value !== null))
    .map(([label, values]) => ({ label: groups.length ? label : measure.title, values }));
  const shown = all.sort((a, b) => size(b.values) - size(a.values)).slice(0, MOST_SERIES);
  return {
    measure,
    labels: bucketTexts(buckets),
    isTime: true,
    series: shown,
    leftOut: all.length - shown.length,
  };
}

/** Rows in the order of a column, nothing always last. */
export function sorted(rows: Cell[][], columns: Column[], sort: string | null): Cell[][] {
  if (sort === null) return rows;
  const isDown = sort.startsWith("-");
  const at = columns.findIndex((column) => column.name === (isDown ? sort.slice(1) : sort));
  if (at < 0) return rows;
  const order = new Intl.Collator(undefined, { numeric: true });
  const compare = (a: Cell | undefined, b: Cell | undefined): number => {
    const [noA, noB] = [a === null || a === undefined, b === null || b === undefined];
    if (noA || noB) return Number(noA) - Number(noB);
    const found = typeof a === "number" && typeof b === "number" ? a - b : order.compare(String(a), String(b));
    return isDown ? -found : found;
  };
  return rows.toSorted((a, b) => compare(a[at], b[at]));
}
