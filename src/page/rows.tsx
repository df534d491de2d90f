// The rows of an answer, sorted as one likes.

import { useEffect, useState } from "preact/hooks";

import type { Column, Table } from "./api";
import { cellText } from "./format";
import { readColumns, sorted } from "./series";

/** Rows shown at once: what a browser draws without pause. */
const ROWS = 100;

interface Props {
  table: Table;
  caption: string;
  sort: string | null;
  onSort: (sort: string | null) => void;
}

export function Rows({ table, caption, sort, onSort }: Props) {
  const [page, setPage] = useState(0);
  useEffect(() => setPage(0), [table, sort]);
  const shown = readColumns(table.columns);
  const rows = sorted(table.rows, table.columns, sort);
  const pages = Math.max(1, Math.ceil(rows.length / ROWS));
  return (
    <section aria-label="Rows">
      <div class="scroll" tabIndex={0} role="region" aria-label={caption}>
        <table>
          <caption>{caption}</caption>
          <thead>
            <tr>
              {shown.map((at) => table.columns[at] as Column).map((column) => {
                const [isUp, isDown] = [sort === column.name, sort === `-${column.name}`];
                const next = column.type === "number" ? (isDown ? column.name : isUp ? null : `-${column.name}`)
                  : isUp ? `-${column.name}` : isDown ? null : column.name;
                return (
                  <th key={column.name} scope="col" class={column.type}
                    aria-sort={isUp ? "ascending" : isDown ? "descending" : "none"}>
                    <button type="button" title={column.name} onClick={() => onSort(next)}>
                      {column.title} <span aria-hidden="true">{isUp ? "▲" : isDown ? "▼" : ""}</span>
                    </button>
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            {rows.slice(page * ROWS, (page + 1) * ROWS).map((row, index) => (
              <tr key={index}>
                {shown.map((at) => {
                  const column = table.columns[at] as Column;
                  return <td key={column.name} class={column.type}>{cellText(row[at], column)}</td>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.length === 0 && <p class="empty">Nothing happened that this question asks about.</p>}
      {pages > 1 && (
        <nav class="pages" aria-label="Pages of rows">
          <button type="button" disabled={page === 0} onClick={() => setPage(page - 1)}>Back</button>
          <span>{page + 1} of {pages}</span>
          <button type="button" disabled={page + 1 >= pages} onClick={() => setPage(page + 1)}>Next</button>
        </nav>
      )}
    </section>
  );
}
