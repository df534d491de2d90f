// The page: a question on the left, its answer on the right, and all of it in the address.

import { render, type ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

import { Problem, ask, json, key, setKey, table, type Catalog, type Report, type Table } from "./api";
import { ChartView, NumberView } from "./chart";
import { conversations } from "./conversations";
import { COPIES, copyText, type Copy } from "./copy";
import { ChoiceField } from "./fields";
import { agoText, instantText } from "./format";
import { BoardForm, FIRST_QUERY, QueryForm, ReportForm } from "./forms";
import { useBoard } from "./live";
import { Rows } from "./rows";
import { measures, timeColumn } from "./series";
import { VIEWS, first, fromSearch, questionPath, toSearch, withValue, type Pairs, type State, type View } from "./state";

/** Reports of conversations have no `table`: they are documents. */
const CONVERSATIONS_A_PAGE = 100;

type Answer =
  | { is: "nothing" }
  | { is: "coming" }
  | { is: "there"; table: Table; state: State }
  | { is: "failed"; problem: Problem };

// No report is called so: their names are lower-case letters, digits and dashes.
const LIVE = "*live";

const VIEW_TITLES: Record<View, string> = { line: "Line", bar: "Bars", number: "Number", table: "Table" };

const START: State = { report: "queue-performance", pairs: [["interval", "P1D"]], view: null, measure: null, sort: null, live: false };

function Page() {
  const [state, setState] = useState<State>(() => fromSearch(location.search) ?? START);
  const [draft, setDraft] = useState<{ report: string | null; pairs: Pairs; live: boolean }>(state);
  const [reports, setReports] = useState<Report[] | null>(null);
  const [catalog, setCatalog] = useState<Catalog | null>(null);
  const [answer, setAnswer] = useState<Answer>({ is: "nothing" });
  const [round, setRound] = useState(0);
  const [failure, setFailure] = useState<Problem | null>(null);

  // What there is to choose from; again when a key was given.
  useEffect(() => {
    Promise.all([json<{ reports: Report[] }>("/v1/reports"), json<Catalog>("/v1/catalog")]).then(
      ([listed, catalog]) => {
        setReports(listed.reports);
        setCatalog(catalog);
        setFailure(null);
      },
      (error) => setFailure(problemOf(error)),
    );
  }, [round]);

  useEffect(() => {
    const onBack = () => {
      const old = fromSearch(location.search) ?? START;
      setState(old);
      setDraft(old);
    };
    addEventListener("popstate", onBack);
    return () => removeEventListener("popstate", onBack);
  }, []);

  const report = reports?.find((report) => report.name === state.report);
  const question = questionPath(state, "json");
  useEffect(() => {
    if (reports === null || state.live) return;
    const abort = new AbortController();
    setAnswer({ is: "coming" });
    fetchAnswer(state, report, abort.signal).then(
      (table) => setAnswer({ is: "there", table, state }),
      (error) => {
        if (!abort.signal.aborted) setAnswer({ is: "failed", problem: problemOf(error) });
      },
    );
    return () => abort.abort();
  }, [reports, question, round]);

  const board = useBoard(state.pairs, state.live, round);
  const shown: Answer = !state.live ? answer
    : board.is === "there" ? { is: "there", table: board.table, state } : board;

  const go = (next: State) => {
    history.pushState(null, "", toSearch(next));
    setState(next);
    setDraft(next);
  };
  /** Looks at the same answer otherwise: no step to come back to. */
  const look = (change: Partial<State>) => {
    const next = { ...state, ...change };
    history.replaceState(null, "", toSearch(next));
    setState(next);
  };
  const isChanged = questionPath({ ...state, ...draft }, "json") !== question;
  const chosen = reports?.find((report) => report.name === draft.report);
  const show = () => (isChanged ? go({ ...state, ...draft, sort: draft.live ? state.sort : null }) : setRound(round + 1));

  return (
    <>
      <header>
        <h1>genesys-reports</h1>
        <nav aria-label="Elsewhere">
          <a href="/docs/">API</a>
          <a href="/v1/catalog">Catalogue</a>
        </nav>
        <KeyField isNeeded={failure?.status === 401 || (shown.is === "failed" && shown.problem.status === 401)}
          onKey={() => setRound(round + 1)} />
      </header>
      <div class="columns">
        <details class="question" open={matchMedia("(min-width: 56rem)").matches}>
          <summary>Question</summary>
          <form aria-label="Question" onSubmit={(event) => { event.preventDefault(); show(); }}>
          {failure && <ProblemView problem={failure} />}
          {reports && catalog && (
            <>
              <ChoiceField label="Report" value={draft.live ? LIVE : (draft.report ?? "")}
                options={[
                  ...reports.map((report) => [report.name, report.title] as const),
                  [LIVE, "Queues, live"], ["", "Compose a query …"],
                ]}
                onChange={(name) => go({
                  report: name === LIVE || name === "" ? null : name, pairs: name === "" ? FIRST_QUERY : [],
                  live: name === LIVE, view: null, measure: null, sort: name === LIVE ? "-waiting.count" : null,
                })} />
              {chosen && <p class="hint">{chosen.description}</p>}
              {draft.live
                ? <BoardForm pairs={draft.pairs} onChange={(pairs) => setDraft({ ...draft, pairs })} />
                : chosen
                ? <ReportForm report={chosen} pairs={draft.pairs} onChange={(pairs) => setDraft({ ...draft, pairs })} />
                : <QueryForm catalog={catalog} pairs={draft.pairs} onChange={(pairs) => setDraft({ ...draft, pairs })} />}
              <button type="submit" class={isChanged ? "primary changed" : "primary"}>
                {isChanged ? "Show" : "Show again"}
              </button>
            </>
          )}
          </form>
        </details>
        <main aria-busy={shown.is === "coming"}>
          <AnswerView answer={shown} why={board.is === "there" && state.live ? board.why : null} state={state}
            reports={reports ?? []} look={look} go={go} />
        </main>
      </div>
    </>
  );
}

function fetchAnswer(state: State, report: Report | undefined, signal: AbortSignal): Promise<Table> {
  if (report !== undefined && !report.formats.includes("table")) {
    const pairs = withValue(state.pairs, "pageSize", String(CONVERSATIONS_A_PAGE));
    return conversations(questionPath({ ...state, pairs }, "json"), signal);
  }
  return table(questionPath(state, "table"), signal);
}

function problemOf(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(0, "This page failed", String(error), [], null);
}

interface AnswerProps {
  answer: Answer;
  /** Why a board that goes on by itself does not. */
  why: string | null;
  state: State;
  reports: Report[];
  look: (change: Partial<State>) => void;
  go: (state: State) => void;
}

function AnswerView({ answer, why, state, reports, look, go }: AnswerProps) {
  const old = useRef<Extract<Answer, { is: "there" }> | null>(null);
  if (answer.is === "there") old.current = answer;
  if (answer.is === "failed") return <ProblemView problem={answer.problem} />;
  const shown = answer.is === "there" ? answer : old.current;
  if (shown === null) return <p class="empty" role="status">{answer.is === "coming" ? "Asking …" : ""}</p>;

  // While another answer is coming, the old one is shown as what it is.
  const { table, state: asked } = shown;
  const report = reports.find((report) => report.name === asked.report);
  const isTimed = timeColumn(table.columns) >= 0;
  const figures = measures(table.columns);
  const isListing = report !== undefined && !report.formats.includes("table");
  // Rows that are things one by one are read; a chart of them says nothing.
  const isOfFigures = report === undefined || report.lists === "figures" || report.lists === "queues";
  const isDrawn = isOfFigures && !asked.live && figures.length > 0;
  const view: View = isDrawn ? (state.view ?? (isTimed ? "line" : "bar")) : "table";
  const measure = figures.find((column) => column.name === state.measure) ?? figures[0];
  const title = asked.live ? "Queues, live" : (report?.title ?? "Query");
  const page = Number(first(asked.pairs, "page") ?? "1");
  const pages = isListing ? Math.ceil(table.total / CONVERSATIONS_A_PAGE) : 1;
  return (
    <div class={answer.is === "coming" ? "coming" : ""}>
      <div class="bar">
        <h2>{title}</h2>
        {isDrawn && (
          <>
            <div role="radiogroup" aria-label="View" class="views">
              {VIEWS.map((one) => (
                <label key={one}>
                  <input type="radio" name="view" value={one} checked={one === view} onChange={() => look({ view: one })} />
                  <span>{VIEW_TITLES[one]}</span>
                </label>
              ))}
            </div>
            {view !== "table" && measure && (
              <ChoiceField label="Figure" value={measure.name} onChange={(name) => look({ measure: name })}
                options={figures.map((column) => [column.name, column.title] as const)} />
            )}
          </>
        )}
      </div>
      <Freshness table={table} />
      {why && <p class="problem" role="status">No newer figures for now: {why}</p>}
      {view === "number" && <NumberView table={table} measure={measure?.name ?? null} />}
      {(view === "line" || view === "bar") && <ChartView table={table} measure={measure?.name ?? null} kind={view} />}
      <Rows table={table} caption={`${title}: ${table.total.toLocaleString()} rows`} sort={state.sort}
        onSort={(sort) => look({ sort })} />
      {pages > 1 && (
        <nav class="pages" aria-label="Pages of conversations">
          <button type="button" disabled={page <= 1}
            onClick={() => go({ ...state, pairs: withValue(asked.pairs, "page", page > 2 ? String(page - 1) : null) })}>
            Earlier page
          </button>
          <span>{page} of {pages}</span>
          <button type="button" disabled={page >= pages}
            onClick={() => go({ ...state, pairs: withValue(asked.pairs, "page", String(page + 1)) })}>
            Later page
          </button>
        </nav>
      )}
      <TakeAway state={asked} formats={report?.formats ?? ["csv", "xlsx", "parquet", "arrow", "ndjson", "json"]} />
    </div>
  );
}

/** How far the figures can be trusted, and what they cost. */
function Freshness({ table }: { table: Table }) {
  const { asOf, complete, settledThrough, cache, upstreamCalls } = table.meta;
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const ticks = setInterval(() => setNow(Date.now()), 5000);
    return () => clearInterval(ticks);
  }, []);
  const calls = upstreamCalls === 1 ? "1 request" : `${upstreamCalls} requests`;
  return (
    <p class="freshness">
      <span>As of <time dateTime={asOf}>{instantText(asOf)} UTC</time>, {agoText(asOf, Math.max(now, Date.parse(asOf)))}</span>
      <span class={complete ? "good" : "open"}>
        {complete ? "Complete: these figures will not change"
          : settledThrough ? `May still change after ${instantText(settledThrough)} UTC` : "May still change"}
      </span>
      <span>{cache === "stale" ? "Genesys Cloud failed; this is what was held. " : ""}
        {upstreamCalls === 0 ? "Cost Genesys Cloud nothing" : `Cost ${calls} to Genesys Cloud`} ({cache})</span>
    </p>
  );
}

function ProblemView({ problem }: { problem: Problem }) {
  return (
    <div class="problem" role="alert">
      <strong>{problem.message}</strong>
      {problem.detail && <p>{problem.detail}</p>}
      {problem.errors.length > 0 && (
        <ul>
          {problem.errors.map((error, index) => (
            <li key={index}><code>{error.pointer}</code>: {error.detail}{error.suggestion && <> (perhaps <code>{error.suggestion}</code>)</>}</li>
          ))}
        </ul>
      )}
      {problem.requestId && <p class="hint">Request {problem.requestId}</p>}
    </div>
  );
}

/** The question for other programs, and the answer as a file. */
function TakeAway({ state, formats }: { state: State; formats: string[] }) {
  const [copied, setCopied] = useState<{ copy: Copy; text: string; isDone: boolean } | null>(null);
  const copy = async (copy: Copy) => {
    const text = copyText(copy, state, location.origin);
    // Only pages from here or over TLS may write to the clipboard; elsewhere the text is there to be selected.
    const isDone = await navigator.clipboard?.writeText(text).then(() => true, () => false) ?? false;
    setCopied({ copy, text, isDone });
  };
  const files = formats.filter((format) => ["csv", "xlsx", "parquet", "arrow", "ndjson"].includes(format));
  return (
    <section class="take" aria-label="Take it away">
      <h3>Copy as</h3>
      <p class="row">
        {COPIES.map((one) => <button key={one} type="button" onClick={() => copy(one)}>{one}</button>)}
      </p>
      <div role="status">
        {copied && (
          <>
            <p class="hint">{copied.copy} {copied.isDone ? "copied" : "to copy"}:</p>
            <pre tabIndex={0}>{copied.text}</pre>
          </>
        )}
      </div>
      <h3>Save as</h3>
      <p class="row">{files.map((format) => <FileLink key={format} path={questionPath(state, format)} format={format} />)}</p>
    </section>
  );
}

/** A plain link; with a key, which a link cannot send, a request whose answer is saved. */
function FileLink({ path, format }: { path: string; format: string }) {
  const [failure, setFailure] = useState<string | null>(null);
  const save = async (event: Event) => {
    if (key() === null) return;
    event.preventDefault();
    try {
      const response = await ask(path, "*/*");
      const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1];
      const url = URL.createObjectURL(await response.blob());
      const link = Object.assign(document.createElement("a"), { href: url, download: name ?? `report.${format}` });
      link.click();
      URL.revokeObjectURL(url);
      setFailure(null);
    } catch (error) {
      setFailure(problemOf(error).message);
    }
  };
  return (
    <>
      <a class="button" href={path} download onClick={save}>{format.toUpperCase()}</a>
      {failure && <span role="alert">{failure}</span>}
    </>
  );
}

/** The API key, where the service wants one; kept until the tab is closed. */
function KeyField({ isNeeded, onKey }: { isNeeded: boolean; onKey: () => void }) {
  const id = useId();
  const [isSet, setIsSet] = useState(key() !== null);
  if (isSet && !isNeeded) {
    return <button type="button" class="quiet" onClick={() => { setKey(null); setIsSet(false); onKey(); }}>Forget the key</button>;
  }
  if (!isNeeded) return null;
  const onSubmit = (event: SubmitEvent & { currentTarget: HTMLFormElement }) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget).get("key");
    if (typeof given !== "string" || given === "") return;
    setKey(given.trim());
    setIsSet(true);
    onKey();
  };
  return (
    <form class="key" onSubmit={onSubmit}>
      <label for={id}>API key</label>
      <input id={id} name="key" type="password" autocomplete="off" required />
      <button type="submit">Use</button>
    </form>
  );
}

const root = document.getElementById("page");
if (root !== null) {
  root.textContent = "";
  render(<Page /> as ComponentChildren, root);
}
