// Numbers, times and texts as people read them. Times come as nanoseconds of packet time.
import { language } from "./words.js";
import { inZone, written, zoneName } from "./zone.js";

const locale = () => (language() === "ja" ? "ja-JP" : "en-GB");

// Control, format and private characters, among them those that turn the direction of text round
// (Unicode TR 36): shown as what they are, never acted on.
export const printable = (text) =>
  String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

export const count = (n) => Number(n).toLocaleString(locale());
export const fixed = (n, digits) =>
  Number(n).toLocaleString(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const decibans = (n) => `${n < 0 ? "−" : "+"}${fixed(Math.abs(n), 1)}`;
export const percent = (share) => `${fixed(share * 100, share && share < 0.001 ? 3 : 2)} %`;

export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit += 1;
  }
  return `${fixed(n, unit && n < 100 ? 1 : 0)} ${units[unit]}`;
}

const utc = (ns) => new Date(ns / 1e6).toISOString().slice(0, 19).replace("T", " ");
const local = (ns) => written(new Date(ns / 1e6));

export const clock = (ns) => (inZone() === "utc" ? utc(ns) : local(ns));
export const both = (ns) => `${utc(ns)} UTC = ${local(ns)} ${zoneName(ns, "local")}`;
// Without the year, if it is this one.
export const short = (ns) => {
  const text = clock(ns);
  return text.slice(0, 4) === clock(Date.now() * 1e6).slice(0, 4) ? text.slice(5) : text;
};

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const [d, h, m, sec] = language() === "ja" ? [" 日", " 時間", " 分", " 秒"] : [" d", " h", " min", " s"];
  if (s >= 86400) return `${Math.floor(s / 86400)}${d} ${Math.floor((s % 86400) / 3600)}${h}`;
  if (s >= 3600) return `${Math.floor(s / 3600)}${h} ${Math.floor((s % 3600) / 60)}${m}`;
  return s >= 60 ? `${Math.floor(s / 60)}${m} ${s % 60}${sec}` : `${s}${sec}`;
}
