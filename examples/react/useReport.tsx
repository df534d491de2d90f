// A report in a React page: asked again as often as its answer says it stays fresh, and shown as old when it is.

import { useEffect, useState } from "react";

export interface Column {
  name: string;
  title: string;
  type: "text" | "number" | "instant";
  unit: "count" | "milliseconds" | "ratio" | "number" | null;
}

export interface Report {
  total: number;
  columns: Column[];
  rows: (string | number | null)[][];
  meta: { asOf: string; complete: boolean; cache: string };
}

export interface Asked {
  report: Report | null;
  /** The last answer's failure; the report before it stays. */
  failure: string | null;
}

/** Asks for `path`, such as `/v1/reports/queue-performance?from=today&to=now`, for as long as it is shown. */
export function useReport(service: string, path: string, apiKey?: string): Asked {
  const [asked, setAsked] = useState<Asked>({ report: null, failure: null });
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      let wait = 30;
      try {
        const headers = new Headers({ accept: "application/vnd.genesys-reports.table+json" });
        if (apiKey !== undefined) headers.set("x-api-key", apiKey);
        const response = await fetch(service + path, { headers, signal: abort.signal });
        const body = await response.json();
        if (response.ok) {
          setAsked({ report: body, failure: null });
          wait = freshFor(response.headers);
        } else {
          setAsked((old) => ({ ...old, failure: body.detail ?? body.title }));
          wait = Number(response.headers.get("retry-after") ?? 30);
        }
      } catch (error) {
        if (abort.signal.aborted) return;
        setAsked((old) => ({ ...old, failure: String(error) }));
      }
      timer = setTimeout(ask, Math.max(wait, 5) * 1000);
    };
    ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [service, path, apiKey]);
  return asked;
}

/** Seconds until the service may have something newer (RFC 9111): `max-age` counts from when it was fetched, as `Age` does. */
function freshFor(headers: Headers): number {
  const lifetime = Number(/max-age=(\d+)/.exec(headers.get("cache-control") ?? "")?.[1] ?? 0);
  return lifetime - Number(headers.get("age") ?? 0);
}

/** Conversations offered today by queue. */
export function OfferedToday({ service }: { service: string }) {
  const { report, failure } = useReport(service, "/v1/reports/queue-performance?from=today&to=now");
  if (report === null) return <p>{failure ?? "…"}</p>;
  const [queue, offered] = ["routing.queue.name", "conversation.offered"].map((name) =>
    report.columns.findIndex((column) => column.name === name));
  return (
    <table>
      <caption>
        As of {new Date(report.meta.asOf).toLocaleTimeString()}
        {failure !== null && ` (older than it should be: ${failure})`}
      </caption>
      <tbody>
        {report.rows.map((row, index) => (
          <tr key={index}>
            <th scope="row">{row[queue!] ?? "no queue"}</th>
            <td>{row[offered!]}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
