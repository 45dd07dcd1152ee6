// What a list is asked for: it lives in the address, to be shared; views have names.
import { html, useRef, useState } from "./dom.js";
import { send } from "./api.js";
import { clock } from "./format.js";
import { go } from "./hooks.js";
import { Ask, kindOf } from "./parts.js";
import { english, t } from "./words.js";
import { zoneName } from "./zone.js";

export const FILTERS = {
  state: ["open", "raised", "escalated", "refreshed", "closed"],
  severity: ["critical", "high", "medium"],
  abuse: ["spam", "worm", "credential guessing", "relay testing", "scanning", "unknown"],
  block: ["blocked", "would_block", "lookup", "expired", "released", "refused", "undecided", "not_recommended"],
  handled: ["new", "working", "snoozed", "done"],
  last: ["3600", "21600", "86400", "604800"],
};
const KEPT = ["text", ...Object.keys(FILTERS), "owner", "recommended", "seen_to", "since", "until", "sort"];
const word = (name, value) => (name === "handled" ? t(`handled_${value}`) : name === "last" ? t(`last_${value}`) : name === "abuse" ? kindOf(value) : t(value));

export const wantedOf = (params) => Object.fromEntries(KEPT.map((k) => [k, params.get(k) ?? ""]));

export const addressOf = (wanted) => {
  const params = new URLSearchParams(Object.entries(wanted).filter(([, v]) => v));
  return `/${params.size ? `?${params}` : ""}`;
};

// Whether the stream tells enough of an alert to say if it fits; else the server is asked.
export const simple = (wanted) =>
  !["block", "handled", "last", "owner", "recommended", "seen_to", "since", "until", "sort"].some((name) => wanted[name]) &&
  /^[\w.\- ]*$/.test(wanted.text) && !/\d+\.\d+\.\d+\.\d/.test(wanted.text);

// Whether an alert fits the filters: as the server says it.
export function fits(one, wanted) {
  const texts = [one.host, one.customer, one.severity, one.state, one.id];
  const words = wanted.text.split(" ").filter(Boolean);
  if (!words.every((part) => texts.some((text) => text.includes(part)))) return false;
  if (wanted.state === "open" ? one.state === "closed" : wanted.state && one.state !== wanted.state) return false;
  if (wanted.abuse && one.abuse !== wanted.abuse) return false;
  return !wanted.severity || one.severity === wanted.severity;
}

const narrow = matchMedia("(max-width: 640px)").matches;
const SAVED = "views";
const saved = () => {
  try {
    const found = JSON.parse(localStorage.getItem(SAVED) ?? "{}");
    return typeof found === "object" && found !== null ? found : {};
  } catch {
    return {};
  }
};

// Views that everybody has, and those somebody has kept in this browser; each is an address.
function Views({ wanted, who }) {
  const [kept, keep] = useState(saved);
  const [asking, ask] = useState(false);
  const [looking, look] = useState(false);
  const here = addressOf(wanted);
  const views = {
    [t("view_all")]: "/",
    [t("view_open")]: "/?state=open&sort=active",
    [t("view_new")]: "/?state=open&handled=new&sort=score",
    [t("view_mine")]: addressOf({ state: "open", owner: who.name }),
    [t("view_refused")]: "/?state=open&block=refused",
  };
  const save = (all) => {
    localStorage.setItem(SAVED, JSON.stringify(all));
    keep(all);
  };
  return html`<nav class="views" aria-label=${t("views")}>
    ${Object.entries(views).map(([name, href]) => html`<a href=${href} key=${href} aria-current=${href === here ? "true" : undefined}>${name}</a>`)}
    ${Object.entries(kept).map(([name, href]) => html`<span key=${name}><a href=${href} aria-current=${href === here ? "true" : undefined}>${name}</a><button
      type="button" class="link" aria-label=${t("forget_view", name)} onClick=${() => {
        const { [name]: _, ...rest } = kept;
        save(rest);
      }}>×</button></span>`)}
    <button type="button" class="link" onClick=${() => ask(true)}>${t("save_view")}</button>
    ${who.names && html` <button type="button" class="link" onClick=${() => look(true)}>${t("find_customer")}</button>`}
    ${looking && html`<${Ask} question=${t("ask_customer")} action=${t("find_customer")} name=${253} needsReason=${false} noted=${false}
      close=${() => look(false)} does=${async ({ name }) => go(addressOf({ text: `customer:${(await send("POST", "customer/find", { name })).customer}` }))} />`}
    ${asking && html`<${Ask} question=${t("ask_view")} action=${t("save_view")} name=${true} needsReason=${false} noted=${false}
      close=${() => ask(false)} does=${async ({ name }) => save({ ...kept, [name]: here })} />`}
  </nav>`;
}

export function Filters({ wanted, search, who }) {
  const timer = useRef(0);
  const set = (name, value) => go(addressOf({ ...wanted, [name]: value }), true);
  const type = (event) => {
    clearTimeout(timer.current);
    const { value } = event.target;
    timer.current = setTimeout(() => set("text", value.trim().split(/\s+/).map(english).join(" ")), 150);
  };
  const { sort, ...filters } = wanted;
  const filtered = Object.values(filters).some(Boolean);
  const between = (wanted.since || wanted.until) &&
    `${wanted.since ? clock(Number(wanted.since)) : ""} – ${wanted.until ? clock(Number(wanted.until)) : ""} ${zoneName()}`;
  return html`<${Views} wanted=${wanted} who=${who} />
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <input type="search" ref=${search} value=${wanted.text} onInput=${type} maxlength="200"
      onKeyDown=${(event) => event.key === "Enter" && event.target.blur()}
      aria-label=${t("search")} placeholder=${t("search")} title=${t("search_keys")} autocomplete="off" spellcheck=${false} />
    <details open=${!narrow || Object.keys(FILTERS).some((name) => wanted[name])}><summary>${t("filters")}</summary><div>
    ${Object.entries(FILTERS).map(
      ([name, values]) => html`<label key=${name}>${t(`filter_${name}`)}
        <select name=${name} value=${wanted[name]} onChange=${(event) => set(name, event.target.value)}>
          <option value="">${t("any")}</option>
          ${values.map((v) => html`<option value=${v} selected=${wanted[name] === v}>${word(name, v)}</option>`)}
        </select>
      </label>`,
    )}</div></details>
    ${between && html`<button type="button" onClick=${() => go(addressOf({ ...wanted, since: "", until: "" }), true)}>${between} ×</button>`}
    ${filtered && html`<button type="button" onClick=${() => go("/", true)}>${t("clear_filter")}</button>`}
  </form>`;
}
