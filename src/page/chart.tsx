// What an answer looks like: a chart, or figures large enough to read from afar.

import {
  BarController, BarElement, CategoryScale, Chart, Legend, LinearScale, LineController, LineElement, PointElement, Tooltip,
} from "chart.js";
import { useEffect, useRef, useState } from "preact/hooks";

import type { Table } from "./api";
import { cellText } from "./format";
import { MOST_SERIES, drawing, groupColumns, groupText, timeColumn, type Drawing } from "./series";

Chart.register(BarController, BarElement, CategoryScale, Legend, LinearScale, LineController, LineElement, PointElement, Tooltip);

// Told apart by those who do not see all colours (Okabe and Ito), and readable on light and dark.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6bb1", "#7f7f7f"];

interface Props {
  table: Table;
  measure: string | null;
}

export function ChartView({ table, measure, kind }: Props & { kind: "line" | "bar" }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const isDark = useDark();
  const drawn = drawing(table, measure);
  useEffect(() => {
    if (canvas.current === null || drawn === null) return;
    const chart = new Chart(canvas.current, configuration(drawn, kind, canvas.current));
    return () => chart.destroy();
  }, [table, measure, kind, isDark]);
  if (drawn === null) return <p class="empty">Nothing to draw: no rows, or no figures among the columns.</p>;
  const what = `${drawn.measure.title} ${drawn.isTime ? "over time" : "by group"}`;
  return (
    <figure>
      <div class="canvas">
        <canvas ref={canvas} role="img" aria-label={`${what}; the table below has the figures.`} data-drawn={kind} />
      </div>
      {drawn.leftOut > 0 && (
        <figcaption>The {MOST_SERIES} largest of {drawn.series.length + drawn.leftOut} groups are drawn; the table has all.</figcaption>
      )}
    </figure>
  );
}

function configuration(drawn: Drawing, kind: "line" | "bar", canvas: HTMLCanvasElement) {
  const style = getComputedStyle(canvas);
  const [ink, faint] = [style.getPropertyValue("--ink").trim(), style.getPropertyValue("--line").trim()];
  const text = (value: number) => cellText(value, drawn.measure);
  const isLying = kind === "bar" && !drawn.isTime;
  const figures = {
    beginAtZero: true,
    ticks: { color: ink, callback: (value: string | number) => text(Number(value)) },
    grid: { color: faint },
  };
  const groups = { ticks: { color: ink, maxRotation: 0, autoSkip: !isLying, autoSkipPadding: 12 }, grid: { display: false } };
  return {
    type: kind,
    data: {
      labels: drawn.labels,
      datasets: drawn.series.map(({ label, values }, index) => {
        const colour = COLOURS[index % COLOURS.length] as string;
        return {
          label,
          data: values,
          borderColor: colour,
          backgroundColor: colour,
          // Colours come round again, dashed.
          borderDash: index >= COLOURS.length ? [6, 4] : [],
          borderWidth: kind === "line" ? 2 : 0,
          pointRadius: values.length > 60 ? 0 : 2,
          spanGaps: false,
        };
      }),
    },
    options: {
      animation: false as const,
      responsive: true,
      maintainAspectRatio: false,
      indexAxis: isLying ? ("y" as const) : ("x" as const),
      interaction: { mode: "index" as const, intersect: false, axis: isLying ? ("y" as const) : ("x" as const) },
      scales: isLying ? { x: figures, y: groups } : { x: groups, y: figures },
      plugins: {
        legend: { display: drawn.series.length > 1, labels: { color: ink, usePointStyle: true, pointStyle: kind === "line" ? "line" : "rect" } },
        tooltip: {
          callbacks: {
            label: (item: { dataset: { label?: string }; raw: unknown }) =>
              `${item.dataset.label}: ${typeof item.raw === "number" ? text(item.raw) : "–"}`,
          },
        },
      },
    },
  };
}

/** Whether the page is dark, now and as that changes. */
function useDark(): boolean {
  const query = matchMedia("(prefers-color-scheme: dark)");
  const [isDark, setDark] = useState(query.matches);
  useEffect(() => {
    const onChange = () => setDark(query.matches);
    query.addEventListener("change", onChange);
    return () => query.removeEventListener("change", onChange);
  }, []);
  return isDark;
}

/** The figure of every row, large; of buckets the last one only. Never added up here: a rate does not add. */
export function NumberView({ table, measure }: Props) {
  const drawn = drawing(table, measure);
  if (drawn === null) return <p class="empty">Nothing to show: no rows, or no figures among the columns.</p>;
  const { columns } = table;
  const at = columns.indexOf(drawn.measure);
  const groups = groupColumns(columns);
  const time = timeColumn(columns);
  const newest = time < 0 ? null : table.rows.reduce((last, row) => (String(row[time]) > last ? String(row[time]) : last), "");
  const rows = newest === null ? table.rows : table.rows.filter((row) => row[time] === newest);
  const shown = rows.slice(0, MOST_SERIES);
  return (
    <>
      <dl class="numbers">
        {shown.map((row, index) => (
          <div key={index}>
            <dt>{groups.length > 0 ? groupText(row, groups) : drawn.measure.title}</dt>
            <dd>{cellText(row[at], drawn.measure)}</dd>
          </div>
        ))}
      </dl>
      {(newest !== null || rows.length > shown.length) && (
        <p class="hint">
          {newest !== null && `In the last bucket, from ${drawn.labels.at(-1)}. `}
          {rows.length > shown.length && `The first ${shown.length} of ${rows.length} rows; the table has all.`}
        </p>
      )}
    </>
  );
}
