// What the sensor says, in the language spoken now: a code and its figures, put into the template
// the catalogue has for them. sensor/base/sentences.py says how templates are written, and does the
// same for everybody else; what has no code, or one of another version, stays as it is in English.
import { CATALOGUES } from "./catalogue.js";
import { language } from "./words.js";

const TOKEN = /\[\[|\]\]|[[\]]|\{(\w+)(?::([^{}]*))?\}/g;

const FORMATS = {
  ",": (n) => n.toLocaleString("en-US"),
  ",.0f": (n) => Number(n.toFixed(0)).toLocaleString("en-US"),
  ".1f": (n) => n.toFixed(1),
  "+.1f": (n) => (n < 0 ? "" : "+") + n.toFixed(1),
  ".0%": (n) => `${(n * 100).toFixed(0)}%`,
  ".2%": (n) => `${(n * 100).toFixed(2)}%`,
  plural: (n) => (n === 1 ? "" : "s"),
};

// The name of a window of time.
export const windowName = (name) => CATALOGUES[language()][`window.${name}`] ?? name;

function shown(value, format) {
  if (format === "window") return windowName(value);
  if (format === "list") return value.map((one) => shown(one)).join(", ");
  if (format) return FORMATS[format](value);
  if (Array.isArray(value)) return value.map((one) => shown(one)).join("; ");
  return typeof value === "object" ? rendered(value.code, value.figures) : String(value);
}

// The sentence; null where it cannot be made.
function rendered(code, figures) {
  const template = CATALOGUES[language()][code];
  if (template === undefined) return null;
  let whole = "";
  let part = null; // of a section, as long as no figure of it is missing
  let inside = false;
  let at = 0;
  const add = (text) => {
    if (!inside) whole += text;
    else if (part !== null) part += text;
  };
  for (const found of template.matchAll(TOKEN)) {
    const [token, name, format] = found;
    add(template.slice(at, found.index));
    at = found.index + token.length;
    if (token === "[[" || token === "]]") add(token[0]);
    else if (token === "[") [inside, part] = [true, ""];
    else if (token === "]") [inside, whole] = [false, whole + (part ?? "")];
    else if (figures[name] !== undefined && figures[name] !== null) {
      const text = shown(figures[name], format);
      if (text === null) return null;
      add(text);
    } else if (inside) part = null;
    else return null;
  }
  add(template.slice(at));
  return whole;
}

// A sentence of the sensor by code and figures; `text`: the same in English.
export function said(code, figures, text) {
  try {
    return (code ? rendered(code, figures ?? {}) : null) ?? text;
  } catch {
    return text; // figures of another kind than the template's
  }
}
