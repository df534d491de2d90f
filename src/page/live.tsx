// The board of queues: one stream of server-sent events, read with fetch since an EventSource sends no key.

import { createParser } from "eventsource-parser";
import { useEffect, useState } from "preact/hooks";

import { Problem, ask, type Cell, type Column, type Meta, type Table } from "./api";
import { readable, type Pairs } from "./state";

const BOARD: Column[] = [
  { name: "routing.queue.name", title: "Queue", type: "text", unit: null },
  { name: "waiting.count", title: "Waiting", type: "number", unit: "count" },
  { name: "waiting.longest.time", title: "Longest wait", type: "number", unit: "milliseconds" },
  { name: "alerting.count", title: "Alerting", type: "number", unit: "count" },
  { name: "interacting.count", title: "Interacting", type: "number", unit: "count" },
  { name: "agents.on.queue", title: "On queue", type: "number", unit: "count" },
  { name: "agents.routing.idle", title: "Idle", type: "number", unit: "count" },
  { name: "agents.routing.interacting", title: "Busy", type: "number", unit: "count" },
];

interface Observed {
  total: number;
  entities: object[];
  meta: Meta;
}

export type Board =
  | { is: "coming" }
  | { is: "there"; table: Table; why: string | null }
  | { is: "failed"; problem: Problem };

/** The cell of a column within nested objects: `waiting.count` is in `waiting`. */
function cell(entity: object, name: string): Cell {
  const found = name.split(".").reduce((at: unknown, part) => (at as Record<string, unknown> | null)?.[part], entity as unknown);
  return typeof found === "string" || typeof found === "number" ? found : null;
}

function table({ total, entities, meta }: Observed): Table {
  const rows = entities.map((entity) => BOARD.map((column) => cell(entity, column.name)));
  return { total, columns: BOARD, rows, meta };
}

/** Listens for as long as it is shown, and comes back when the stream ends. */
export function useBoard(pairs: Pairs, isShown: boolean, round: number): Board {
  const [board, setBoard] = useState<Board>({ is: "coming" });
  const path = "/v1/live/queues?" + readable(pairs);
  useEffect(() => {
    if (!isShown) return;
    const abort = new AbortController();
    setBoard({ is: "coming" });
    listen(path, setBoard, abort.signal);
    return () => abort.abort();
  }, [path, isShown, round]);
  return board;
}

async function listen(path: string, setBoard: (change: (board: Board) => Board) => void, signal: AbortSignal): Promise<void> {
  let wait = 3000;
  let last: string | null = null;
  const stale = (why: string) =>
    setBoard((board) => (board.is === "there" ? { ...board, why } : board));
  const parser = createParser({
    onEvent: ({ event, id, data }) => {
      if (id !== undefined) last = id;
      if (event === "queues") setBoard(() => ({ is: "there", table: table(JSON.parse(data)), why: null }));
      if (event === "stale") stale(JSON.parse(data).title ?? "Genesys Cloud gave no newer figures");
    },
    onRetry: (milliseconds) => { wait = milliseconds; },
  });
  while (!signal.aborted) {
    try {
      const response = await ask(path, "text/event-stream", signal, last === null ? {} : { "last-event-id": last });
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) parser.feed(part.value);
      parser.reset();
    } catch (error) {
      if (signal.aborted) return;
      const problem = error instanceof Problem ? error : new Problem(0, "The stream broke off", null, [], null);
      // What the caller must change does not change by asking again.
      if (problem.status >= 400 && problem.status < 500 && problem.status !== 429) {
        setBoard(() => ({ is: "failed", problem }));
        return;
      }
      setBoard((board) => (board.is === "there" ? { ...board, why: problem.message } : { is: "failed", problem }));
      parser.reset();
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
