// A field to choose one or several of many, by typing a part: the combobox pattern of ARIA, with what is chosen as buttons.

import { useEffect, useId, useRef, useState } from "preact/hooks";

export interface Option {
  value: string;
  label: string;
  /** A second line. */
  meaning?: string;
}

interface Props {
  label: string;
  chosen: Option[];
  /** Finds options; called again with every text typed. */
  find: (text: string) => Promise<Option[]> | Option[];
  onChange: (chosen: Option[]) => void;
  placeholder?: string;
  /** Whether what was typed can be chosen although it is not among the options. */
  isFree?: boolean;
}

export function Picker({ label, chosen, find, onChange, placeholder = "type to search", isFree = false }: Props) {
  const id = useId();
  const [text, setText] = useState("");
  const [options, setOptions] = useState<Option[]>([]);
  const [isOpen, setOpen] = useState(false);
  const [active, setActive] = useState(0);
  const [failure, setFailure] = useState<string | null>(null);
  const input = useRef<HTMLInputElement>(null);
  const values = new Set(chosen.map((option) => option.value));

  useEffect(() => {
    if (!isOpen) return;
    let isCurrent = true;
    const wait = setTimeout(async () => {
      try {
        const found = await find(text);
        if (!isCurrent) return;
        setOptions(found);
        setActive(0);
        setFailure(null);
      } catch (error) {
        if (isCurrent) setFailure(error instanceof Error ? error.message : String(error));
      }
    }, 120);
    return () => {
      isCurrent = false;
      clearTimeout(wait);
    };
  }, [isOpen, text]);

  const offered = options.filter((option) => !values.has(option.value));
  if (isFree && text !== "" && !values.has(text) && !offered.some((option) => option.value === text)) {
    offered.unshift({ value: text, label: text });
  }
  const choose = (option: Option | undefined) => {
    if (option === undefined) return;
    onChange([...chosen, option]);
    setText("");
    // The list would lie over the next field.
    setOpen(false);
    input.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      setActive((old) => Math.min(Math.max(old + step, 0), Math.max(offered.length - 1, 0)));
    } else if (event.key === "Enter" && isOpen && offered.length > 0) {
      event.preventDefault();
      choose(offered[active]);
    } else if (event.key === "Escape") {
      setOpen(false);
    } else if (event.key === "Backspace" && text === "" && chosen.length > 0) {
      onChange(chosen.slice(0, -1));
    }
  };

  return (
    <div class="field picker" onFocusOut={(event) => {
      const isWithin = event.currentTarget.contains(event.relatedTarget as Node | null);
      if (!isWithin) setOpen(false);
    }}>
      <label for={id}>{label}</label>
      <div class="chosen">
        {chosen.map((option) => (
          <button key={option.value} type="button" class="chip" aria-label={`Remove ${option.label}`}
            onClick={() => onChange(chosen.filter((other) => other.value !== option.value))}>
            {option.label} <span aria-hidden="true">×</span>
          </button>
        ))}
        <input id={id} ref={input} role="combobox" autocomplete="off" aria-autocomplete="list" aria-expanded={isOpen}
          aria-controls={`${id}-options`}
          aria-activedescendant={isOpen && offered[active] ? `${id}-${active}` : undefined}
          value={text} placeholder={chosen.length === 0 ? placeholder : ""}
          onInput={(event) => { setText(event.currentTarget.value); setOpen(true); }}
          onClick={() => setOpen(true)} onKeyDown={onKeyDown} />
      </div>
      <ul id={`${id}-options`} role="listbox" aria-label={label} hidden={!isOpen || offered.length === 0}>
        {isOpen && offered.slice(0, 50).map((option, index) => (
          <li key={option.value} id={`${id}-${index}`} role="option" aria-selected={index === active}
            class={index === active ? "active" : ""}
            // Before the field loses its focus.
            onMouseDown={(event) => { event.preventDefault(); choose(option); }}>
            <span>{option.label}</span>
            {option.meaning && <small>{option.meaning}</small>}
          </li>
        ))}
      </ul>
      {failure && <p class="hint" role="alert">{failure}</p>}
    </div>
  );
}
