// Figures as people read them, by their unit.

import type { Cell, Column } from "./api";

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const share = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });

/** One cell as text; nothing is a dash, so that it is told from zero. */
export function cellText(cell: Cell | undefined, column: Column): string {
  if (cell === null || cell === undefined) return "–";
  if (typeof cell === "string") {
    const isInstant = column.type === "instant" || column.name === "interval";
    return isInstant ? instantText(cell) : cell;
  }
  switch (column.unit) {
    case "milliseconds":
      return durationText(cell);
    case "ratio":
      return share.format(cell);
    case "count":
      return whole.format(cell);
    default:
      return fine.format(cell);
  }
}

/** Milliseconds as hours, minutes and seconds; below a minute with a decimal. */
export function durationText(milliseconds: number): string {
  const sign = milliseconds < 0 ? "−" : "";
  const size = Math.abs(milliseconds);
  if (size < 60_000) return `${sign}${new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 }).format(size / 1000)} s`;
  const seconds = Math.round(size / 1000);
  const pad = (part: number) => String(part).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  if (hours === 0) return `${sign}${minutes}:${pad(seconds % 60)} min`;
  return `${sign}${whole.format(hours)}:${pad(minutes)}:${pad(seconds % 60)} h`;
}

/** An instant as the answer writes it, `2026-03-01 14:30`: in the question's time zone, or UTC where it ends with Z. */
export function instantText(instant: string): string {
  return instant.slice(0, 10) + " " + instant.slice(11, 16);
}

/** Where a bucket starts, as short as its buckets allow. */
export function bucketTexts(instants: string[]): string[] {
  const isDays = instants.every((instant) => instant.slice(11, 16) === "00:00");
  return instants.map((instant) => (isDays ? instant.slice(0, 10) : instantText(instant)));
}

/** How long ago, in words. */
export function agoText(instant: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(instant)) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} days ago`;
}
