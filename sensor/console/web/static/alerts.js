// The list: filters live in the URL, alerts come in by the stream.
import { html, useEffect, useMemo, useRef, useState } from "./dom.js";
import { get } from "./api.js";
import { decibans } from "./format.js";
import { go, useFetched, useKeys, useTitle } from "./hooks.js";
import { on } from "./live.js";
import { Fault, HostLink, Loading, Moment, Severity, Standing, Table } from "./parts.js";
import { t } from "./words.js";

const FILTERS = {
  state: ["open", "raised", "escalated", "refreshed", "closed"],
  severity: ["critical", "high", "medium"],
  recommended: ["true", "false"],
  seen_to: ["false", "true"],
};
const NAMES = {
  state: "state", severity: "severity", recommended: "advice", seen_to: "seen_to",
  "recommended true": "yes", "recommended false": "no",
  "seen_to true": "somebody", "seen_to false": "nobody",
};
const MOST = 1000;
const RECENT = 5000;

// Whether an alert fits the filters: as the server says it.
function fits(one, wanted) {
  const texts = [one.host, one.severity, one.state, one.id];
  if (wanted.text && !texts.some((text) => text.includes(wanted.text))) return false;
  if (wanted.state === "open" ? one.state === "closed" : wanted.state && one.state !== wanted.state) return false;
  if (wanted.severity && one.severity !== wanted.severity) return false;
  if (wanted.recommended && String(one.block_recommended) !== wanted.recommended) return false;
  return !(wanted.seen_to && String(one.acknowledged !== null) !== wanted.seen_to);
}

function placed(list, told, wanted) {
  const before = list.find((one) => one.id === told.id);
  if (before && before.ts > told.ts) return list;
  const now = { acknowledged: null, exempted: null, ...before, ...told };
  const rest = list.filter((one) => one.id !== told.id);
  if (!fits(now, wanted)) return rest;
  // Times are too large for a double: of those raised in the same microsecond the newest leads.
  const at = before ? list.indexOf(before) : rest.findIndex((one) => one.opened <= now.opened);
  rest.splice(at < 0 ? rest.length : at, 0, { ...now, fresh: !before });
  return rest.slice(0, MOST);
}

export function Alerts({ params }) {
  useTitle(t("alerts"));
  const wanted = useMemo(
    () => Object.fromEntries(["text", ...Object.keys(FILTERS)].map((k) => [k, params.get(k) ?? ""])),
    [params.toString()],
  );
  const { data, error, loading } = useFetched("alerts", wanted, ["desk", "blocks"]);
  const [list, setList] = useState([]);
  const [next, setNext] = useState(null);
  const [said, say] = useState("");
  const body = useRef(null);
  const search = useRef(null);
  const recent = useRef([]);
  useEffect(() => {
    if (data) {
      // What was told while the answer was on its way may not be in it.
      recent.current = recent.current.filter(({ at }) => at > performance.now() - RECENT);
      setList(recent.current.reduce((sum, { told }) => placed(sum, told, wanted), data.alerts));
      setNext(data.next);
    }
  }, [data]);
  useEffect(
    () =>
      on(["alert"], (told) => {
        recent.current = [...recent.current.slice(-MOST), { told, at: performance.now() }];
        setList((before) => placed(before, told, wanted));
        if (told.state === "raised" && fits({ acknowledged: null, ...told }, wanted))
          say(t("new_alert", told.host, t(told.severity)));
      }),
    [wanted],
  );
  const step = (by) => () => {
    const links = [...body.current.querySelectorAll("tbody a")];
    const at = links.indexOf(document.activeElement);
    links[Math.min(Math.max(at + by, 0), links.length - 1)]?.focus();
  };
  useKeys({ j: step(1), k: step(-1), "/": () => search.current.focus() });
  const more = async () => {
    const page = await get("alerts", { ...wanted, after: next });
    setList((before) => [...before, ...page.alerts]);
    setNext(page.next);
  };
  const filtered = Object.values(wanted).some(Boolean);
  return html`<h1>${t("alerts")}</h1>
    <${Filters} wanted=${wanted} search=${search} filtered=${filtered} />
    <${Fault} error=${error} />
    <div ref=${body} aria-busy=${loading}>
      ${data === null && !error
        ? html`<${Loading} />`
        : html`<${Table} caption=${t("alerts")} heads=${[
              [t("when_raised"), "wide"], [t("host")], [t("severity")], [t("score"), "n"],
              [t("state"), "wide"], [t("block")], [t("seen_to"), "wide"],
            ]}>
            ${list.map((one) => html`<${Row} key=${one.id} one=${one} />`)}
          </${Table}>`}
      ${data && list.length === 0 && html`<p class="muted">${t("none_fit")}</p>`}
      ${next && html`<button type="button" onClick=${more}>${t("more")}</button>`}
    </div>
    <p class="unseen" role="status" aria-live="polite">${said}</p>`;
}

function Row({ one }) {
  const seen = one.exempted ? t("exempt") : one.acknowledged ? one.acknowledged.by : "";
  return html`<tr class=${`${one.fresh ? "fresh" : ""} ${one.state === "closed" || one.acknowledged ? "done" : ""}`}>
    <td class="wide"><${Moment} ns=${one.opened} /></td>
    <td><${HostLink} host=${one.host} alert=${one.id} /></td>
    <td><${Severity} of=${one.severity} /></td>
    <td class="n">${decibans(one.score)}</td>
    <td class="wide">${t(one.state)}</td>
    <td><${Standing} of=${one} /></td>
    <td class="wide">${seen}</td>
  </tr>`;
}

function Filters({ wanted, search, filtered }) {
  const timer = useRef(0);
  const set = (name, value) => {
    const params = new URLSearchParams(Object.entries({ ...wanted, [name]: value }).filter(([, v]) => v));
    go(`/${params.size ? `?${params}` : ""}`, true);
  };
  const type = (event) => {
    clearTimeout(timer.current);
    const { value } = event.target;
    timer.current = setTimeout(() => set("text", value.trim()), 100);
  };
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <input type="search" ref=${search} value=${wanted.text} onInput=${type} maxlength="200"
      aria-label=${t("search")} placeholder=${t("search")} autocomplete="off" spellcheck=${false} />
    ${Object.entries(FILTERS).map(
      ([name, values]) => html`<label key=${name}>${t(NAMES[name])}
        <select name=${name} value=${wanted[name]} onChange=${(event) => set(name, event.target.value)}>
          <option value="">${t("any")}</option>
          ${values.map((v) => html`<option value=${v} selected=${wanted[name] === v}>${t(NAMES[`${name} ${v}`] ?? v)}</option>`)}
        </select>
      </label>`,
    )}
    ${filtered && html`<button type="button" onClick=${() => go("/", true)}>${t("clear_filter")}</button>`}
  </form>`;
}
