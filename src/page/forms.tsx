// The question: the parameters of a report, or a query composed of the catalogue.

import { useEffect, useState } from "preact/hooks";

import { names, search, type Catalog, type Dimension, type Parameter, type Report } from "./api";
import { ChoiceField, IntervalField, RangeField, TextField, ZoneField } from "./fields";
import { Picker, type Option } from "./picker";
import { first, list, withValue, type Pairs } from "./state";

interface FormProps {
  pairs: Pairs;
  onChange: (pairs: Pairs) => void;
}

function fallback(parameter: Parameter | undefined): string {
  return parameter?.default === null || parameter?.default === undefined ? "" : String(parameter.default);
}

export function ReportForm({ report, pairs, onChange }: FormProps & { report: Report }) {
  const of = (type: string) => report.parameters.find((parameter) => parameter.type === type);
  const [from, to] = [of("range-start"), of("range-end")];
  const value = (parameter: Parameter) => first(pairs, parameter.name) ?? fallback(parameter);
  const set = (parameter: Parameter, value: string) =>
    onChange(withValue(pairs, parameter.name, value === fallback(parameter) ? null : value));
  const isRange = (parameter: Parameter) => parameter === from || parameter === to;
  return (
    <>
      {from && to && (
        <RangeField from={value(from)} to={value(to)} onChange={(start, end) => {
          const half = withValue(pairs, from.name, start === fallback(from) ? null : start);
          onChange(withValue(half, to.name, end === fallback(to) ? null : end));
        }} />
      )}
      {report.parameters.filter((parameter) => !isRange(parameter)).map((parameter) => (
        <ParameterField key={parameter.name} parameter={parameter} pairs={pairs} onChange={onChange}
          value={value(parameter)} onValue={(value) => set(parameter, value)} />
      ))}
    </>
  );
}

interface ParameterProps extends FormProps {
  parameter: Parameter;
  value: string;
  onValue: (value: string) => void;
}

function ParameterField({ parameter, pairs, onChange, value, onValue }: ParameterProps) {
  const { name, title, type, choices } = parameter;
  if (type === "queues" || type === "agents") {
    const chosen = list(pairs, name);
    const lookup = type === "queues" ? "queues" : "users";
    return <NamePicker label={title} lookup={lookup} values={chosen} placeholder="all"
      onChange={(values) => onChange(withValue(pairs, name, values.join(",")))} />;
  }
  if (choices !== null && parameter.multiple) {
    const options = choices.map((choice) => ({ value: choice, label: choice }));
    const chosen = list(pairs, name).map((value) => ({ value, label: value }));
    return <Picker label={title} chosen={chosen} placeholder="all"
      find={(text) => options.filter((option) => option.label.includes(text))}
      onChange={(values) => onChange(withValue(pairs, name, values.map((option) => option.value).join(",")))} />;
  }
  if (choices !== null) {
    const options: [string, string][] = choices.map((choice) => [choice, choice]);
    if (parameter.default === null) options.unshift(["", "any"]);
    return <ChoiceField label={title} value={value} onChange={onValue} options={options} />;
  }
  if (type === "timezone") return <ZoneField label={title} value={value} onChange={onValue} />;
  if (type === "interval") {
    const none = parameter.default === null ? "The whole range at once" : null;
    return <IntervalField label={title} value={value} onChange={onValue} none={none} />;
  }
  return <TextField label={title} value={value} onChange={onValue} hint={parameter.description} />;
}

interface NamePickerProps {
  label: string;
  lookup: string;
  values: string[];
  placeholder: string;
  onChange: (ids: string[]) => void;
}

/** Chooses by name and keeps ids. */
function NamePicker({ label, lookup, values, placeholder, onChange }: NamePickerProps) {
  const [known, setKnown] = useState(new Map<string, string>());
  useEffect(() => {
    if (values.every((value) => known.has(value))) return;
    let isCurrent = true;
    names(lookup).then((all) => {
      if (isCurrent) setKnown((old) => new Map([...old, ...all.map(({ id, name }) => [id, name] as const)]));
      // An id that stays one still says which it is.
    }, () => undefined);
    return () => { isCurrent = false; };
  }, [lookup, values.join(",")]);
  const find = async (text: string): Promise<Option[]> => {
    const found = await search(lookup, text);
    setKnown((old) => new Map([...old, ...found.map(({ id, name }) => [id, name] as const)]));
    return found.map(({ id, name }) => ({ value: id, label: name }));
  };
  const chosen = values.map((value) => ({ value, label: known.get(value) ?? value }));
  return <Picker label={label} chosen={chosen} find={find} placeholder={placeholder}
    onChange={(options) => onChange(options.map((option) => option.value))} />;
}

/** Which queues are on the board. */
export function BoardForm({ pairs, onChange }: FormProps) {
  const filter = "routing.queue.id:";
  const queues = (first(pairs, "filter") ?? "").replace(filter, "").split(",").filter(Boolean);
  return <NamePicker label="Queues" lookup="queues" values={queues} placeholder="all"
    onChange={(ids) => onChange(withValue(pairs, "filter", ids.length > 0 ? filter + ids.join(",") : null))} />;
}

const SOURCES = ["conversations", "users", "flows", "evaluations", "surveys"];

/** What a composed query starts with. */
export const FIRST_QUERY: Pairs = [
  ["dateFrom", "now-7d/d"],
  ["dateTo", "now/d"],
  ["timeZone", Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC"],
  ["interval", "P1D"],
  ["groupBy", "routing.queue.id"],
  ["select", "interval.start,routing.queue.name,conversation.offered"],
];

/** Figures of the catalogue that can be asked for, of a family. */
function figures(catalog: Catalog, source: string): Option[] {
  const kpis = catalog.kpis.filter((kpi) => kpi.source === source);
  const options = new Map(kpis.map((kpi) => [kpi.name, { value: kpi.name, label: kpi.name, meaning: kpi.meaning }]));
  for (const metric of catalog.metrics.filter((metric) => metric.source === source)) {
    for (const { statistic, columns } of metric.statistics) {
      const value = columns[0] as string;
      const meaning = `${metric.meaning} (${statistic})`;
      if (!options.has(value)) options.set(value, { value, label: value, meaning });
    }
  }
  return [...options.values()];
}

/** What a group shows: its name where it has one. */
function shownAs(dimension: Dimension): string {
  return dimension.named?.name ?? dimension.name;
}

export function QueryForm({ catalog, pairs, onChange }: FormProps & { catalog: Catalog }) {
  const source = first(pairs, "source") ?? "conversations";
  const groupBy = list(pairs, "groupBy");
  const interval = first(pairs, "interval") ?? "";
  const dimensions = new Map(catalog.dimensions.map((dimension) => [dimension.name, dimension]));
  const shown = new Set([
    "interval", "interval.start", "interval.end",
    ...catalog.dimensions.flatMap((dimension) => [dimension.name, shownAs(dimension), dimension.upstream]),
  ]);
  const measures = list(pairs, "select").filter((name) => !shown.has(name));
  const filters = pairs.filter(([name]) => name === "filter").map(([, value]) => {
    const [dimension = "", values = ""] = value.split(/:(.*)/s);
    return { dimension, values: values.split(",").filter(Boolean) };
  });

  /** Columns follow from what is grouped by and measured, so that people need not say them twice. */
  const put = (pairs: Pairs, groups: string[], measures: string[]) => {
    const names = groups.map((name) => {
      const dimension = dimensions.get(name);
      return dimension ? shownAs(dimension) : name;
    });
    const bucket = first(pairs, "interval") ? ["interval.start"] : [];
    const select = measures.length === 0 ? "" : [...bucket, ...names, ...measures].join(",");
    onChange(withValue(withValue(pairs, "groupBy", groups.join(",")), "select", select));
  };
  const putFilters = (filters: { dimension: string; values: string[] }[]) => {
    const rest = pairs.filter(([name]) => name !== "filter");
    onChange([...rest, ...filters.map(({ dimension, values }) => ["filter", `${dimension}:${values.join(",")}`] as const)]);
  };
  /** All words somewhere; those whose name begins so come first, then those whose name has it. */
  const matching = (options: Option[]) => (text: string) => {
    const typed = text.trim().toLowerCase();
    const words = typed.split(/\s+/);
    const name = typed.replaceAll(" ", ".");
    const rank = ({ label }: Option) => (label.startsWith(name) ? 0 : label.includes(name) ? 1 : 2);
    return options
      .filter((option) => words.every((word) => `${option.label} ${option.meaning ?? ""}`.toLowerCase().includes(word)))
      .sort((a, b) => rank(a) - rank(b));
  };
  const dimensionOptions = (isOf: (dimension: Dimension) => string[]) =>
    catalog.dimensions.filter((dimension) => isOf(dimension).includes(source)).map((dimension) => ({
      value: dimension.name, label: shownAs(dimension), meaning: dimension.meaning,
    }));
  const chosen = (values: string[]) => values.map((value) => {
    const dimension = dimensions.get(value);
    return { value, label: dimension ? shownAs(dimension) : value };
  });

  return (
    <>
      <ChoiceField label="About" value={source} options={SOURCES.map((name) => [name, name])} onChange={(value) => {
        // Other figures and groups: what was chosen of the old ones means nothing.
        const rest = pairs.filter(([name]) => !["filter", "groupBy", "select", "orderBy", "source"].includes(name));
        onChange(value === "conversations" ? rest : [["source", value], ...rest]);
      }} />
      <RangeField from={first(pairs, "dateFrom") ?? ""} to={first(pairs, "dateTo") ?? "now"}
        onChange={(from, to) => onChange(withValue(withValue(pairs, "dateFrom", from), "dateTo", to))} />
      <ZoneField label="Time zone" value={first(pairs, "timeZone") ?? "UTC"}
        onChange={(value) => onChange(withValue(pairs, "timeZone", value))} />
      <IntervalField label="Interval" value={interval} none="The whole range at once"
        onChange={(value) => put(withValue(pairs, "interval", value), groupBy, measures)} />
      <Picker label="Figures" chosen={measures.map((value) => ({ value, label: value }))} placeholder="conversation.offered"
        find={matching(figures(catalog, source))}
        onChange={(options) => put(pairs, groupBy, options.map((option) => option.value))} />
      <Picker label="Grouped by" chosen={chosen(groupBy)} placeholder="nothing"
        find={matching(dimensionOptions((dimension) => dimension.groupable))}
        onChange={(options) => put(pairs, options.map((option) => option.value), measures)} />
      {filters.map(({ dimension, values }, index) => (
        <FilterField key={dimension} dimension={dimensions.get(dimension)} name={dimension} values={values}
          onChange={(values) => putFilters(filters.toSpliced(index, 1, ...(values ? [{ dimension, values }] : [])))} />
      ))}
      <Picker label="Add a filter on" chosen={[]} placeholder="a dimension"
        find={matching(dimensionOptions((dimension) => dimension.filterable)
          .filter((option) => !filters.some((filter) => filter.dimension === option.value)))}
        onChange={(options) => putFilters([...filters, ...options.map((option) => ({ dimension: option.value, values: [] }))])} />
    </>
  );
}

interface FilterProps {
  name: string;
  dimension: Dimension | undefined;
  values: string[];
  /** Null takes the filter away. */
  onChange: (values: string[] | null) => void;
}

function FilterField({ name, dimension, values, onChange }: FilterProps) {
  const label = `Only ${dimension ? shownAs(dimension) : name}`;
  const named = dimension?.named;
  return (
    <div class="filter">
      {named
        ? <NamePicker label={label} lookup={named.lookup} values={values} placeholder="choose" onChange={onChange} />
        : <Picker label={label} chosen={values.map((value) => ({ value, label: value }))} placeholder="a value, then Enter"
            find={() => []} isFree onChange={(options) => onChange(options.map((option) => option.value))} />}
      <button type="button" class="quiet" onClick={() => onChange(null)}>Remove this filter</button>
    </div>
  );
}
