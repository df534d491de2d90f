// The fields that reports and composed queries share: where a range begins and ends, its zone, its buckets.

import { useId } from "preact/hooks";

const RANGES: readonly (readonly [string, string, string])[] = [
  ["Today", "now/d", "now"],
  ["Yesterday", "now-1d/d", "now/d"],
  ["Last 24 hours", "last24h", "last24h"],
  ["Last 7 days", "now-7d/d", "now/d"],
  ["Last 7 days and today", "now-7d/d", "now"],
  ["Last 30 days", "now-30d/d", "now/d"],
  ["This week", "this-week", "now"],
  ["Last week", "last-week", "last-week"],
  ["This month", "this-month", "now"],
  ["Last month", "last-month", "last-month"],
];

const DAY = /^\d{4}-\d{2}-\d{2}$/;

interface RangeProps {
  from: string;
  to: string;
  onChange: (from: string, to: string) => void;
}

/** A range: one of those people ask for, or from day to day. */
export function RangeField({ from, to, onChange }: RangeProps) {
  const id = useId();
  const at = RANGES.findIndex(([, known, end]) => known === from && end === to);
  const isCustom = at < 0;
  const isDays = DAY.test(from) && DAY.test(to);
  const isWritten = isCustom && !isDays;
  const toDays = () => {
    const day = (daysAgo: number) => new Date(Date.now() - daysAgo * 86_400_000).toISOString().slice(0, 10);
    onChange(day(7), day(0));
  };
  return (
    <fieldset class="range">
      <legend>Range</legend>
      <div class="field">
        <label for={id}>Range</label>
        <select id={id} value={isCustom ? (isDays ? "days" : "written") : String(at)}
          onChange={(event) => {
            const chosen = RANGES[Number(event.currentTarget.value)];
            if (chosen !== undefined) onChange(chosen[1], chosen[2]);
            else toDays();
          }}>
          {RANGES.map(([label], index) => <option key={label} value={String(index)}>{label}</option>)}
          <option value="days">From day to day …</option>
          {isWritten && <option value="written">As written in the address</option>}
        </select>
      </div>
      {isCustom && (
        <div class="two">
          <EndField label="From" value={from} isDay={isDays} onChange={(day) => onChange(day, to)} />
          <EndField label="To, not included" value={to} isDay={isDays} onChange={(day) => onChange(from, day)} />
        </div>
      )}
    </fieldset>
  );
}

/** One end of a range, as a day where it is one. */
function EndField({ label, value, isDay, onChange }: FieldProps & { isDay: boolean }) {
  const id = useId();
  const change = (event: { currentTarget: HTMLInputElement }) => onChange(event.currentTarget.value);
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {isDay
        ? <input id={id} type="date" value={value} required onChange={change} />
        : <input id={id} type="text" value={value} required onChange={change} />}
    </div>
  );
}

const ZONES: string[] = [...new Set(["UTC", ...Intl.supportedValuesOf("timeZone")])];

interface FieldProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
}

export function ZoneField({ label, value, onChange }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input id={id} list={`${id}-zones`} value={value} spellcheck={false} autocomplete="off"
        onChange={(event) => onChange(event.currentTarget.value)} />
      <datalist id={`${id}-zones`}>
        {ZONES.map((zone) => <option key={zone} value={zone} />)}
      </datalist>
    </div>
  );
}

const INTERVALS: readonly (readonly [string, string])[] = [
  ["PT15M", "15 minutes"],
  ["PT30M", "30 minutes"],
  ["PT1H", "Hour"],
  ["P1D", "Day"],
  ["P1W", "Week"],
  ["P1M", "Month"],
];

/** The length of a bucket; nothing is the whole range at once, where that is allowed. */
export function IntervalField({ label, value, onChange, none }: FieldProps & { none: string | null }) {
  const options: [string, string][] = INTERVALS.map(([code, text]) => [code, text]);
  if (none !== null) options.unshift(["", none]);
  if (!options.some(([code]) => code === value)) options.push([value, value]);
  return <ChoiceField label={label} value={value} onChange={onChange} options={options} />;
}

export function ChoiceField({ label, value, onChange, options }: FieldProps & { options: (readonly [string, string])[] }) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map(([code, text]) => <option key={code} value={code}>{text}</option>)}
      </select>
    </div>
  );
}

export function TextField({ label, value, onChange, hint }: FieldProps & { hint?: string }) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input id={id} value={value} placeholder={hint ?? ""} onChange={(event) => onChange(event.currentTarget.value)} />
    </div>
  );
}
