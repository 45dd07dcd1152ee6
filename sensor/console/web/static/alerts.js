// The list: filters live in the address, alerts come in by the stream, acts on one row or many.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./dom.js";
import { may, query } from "./api.js";
import { ACTS, ActButtons, ActOn } from "./acts.js";
import { count, decibans, printable } from "./format.js";
import { Filters, addressOf, fits, simple, wantedOf } from "./filters.js";
import { go, useFetched, useKeys, useTitle } from "./hooks.js";
import { on } from "./live.js";
import { Customer, Fault, Handled, HostLink, kindOf, Loading, Moment, Sentence, Severity, Standing, Table } from "./parts.js";
import { t } from "./words.js";

const FIRST = 100;
const MOST = 1000;
const RECENT = 5000;
const SORTS = { raised: "descending", active: "descending", host: "ascending", score: "descending" };
const NEW = { acknowledged: null, exempted: null, handling: { state: "new", owner: "", verdict: "" } };

function placed(list, told, wanted, most) {
  const before = list.find((one) => one.id === told.id);
  if (before && before.ts > told.ts) return list;
  const now = { ...NEW, ...before, ...told };
  const rest = list.filter((one) => one.id !== told.id);
  if (!fits(now, wanted)) return rest;
  // Times are too large for a double: of those raised in the same microsecond the newest leads.
  const at = before ? list.indexOf(before) : rest.findIndex((one) => one.opened <= now.opened);
  rest.splice(at < 0 ? rest.length : at, 0, { ...now, fresh: !before });
  return rest.slice(0, most);
}

export function Alerts({ params, who, tell }) {
  const wanted = useMemo(() => wantedOf(params), [params.toString()]);
  const [most, setMost] = useState(FIRST);
  const live = simple(wanted);
  const asked = { ...wanted, limit: most };
  const { data, error, loading, again } = useFetched("alerts", asked, ["desk", "blocks", ...(live ? [] : ["alert"])]);
  const [list, setList] = useState([]);
  const [chosen, choose] = useState(new Set());
  const [act, setAct] = useState(null);
  const [said, say] = useState("");
  const body = useRef(null);
  const search = useRef(null);
  const recent = useRef([]);
  const last = useRef(null);
  useTitle(data ? `(${count(data.total)}) ${t("alerts")}` : t("alerts"));
  useEffect(() => setMost(FIRST), [wanted]);
  // With the drawing itself: where the number of alerts is seen, so are they.
  useLayoutEffect(() => {
    if (!data) return;
    // What was told while the answer was on its way may not be in it.
    recent.current = recent.current.filter(({ at }) => at > performance.now() - RECENT);
    const told = live ? recent.current : [];
    setList(told.reduce((sum, one) => placed(sum, one.told, wanted, MOST), data.alerts));
    choose((before) => new Set(data.alerts.map((one) => one.id).filter((id) => before.has(id))));
  }, [data]);
  useEffect(
    () =>
      on(["alert"], (told) => {
        recent.current = [...recent.current.slice(-MOST), { told, at: performance.now() }];
        if (live) setList((before) => placed(before, told, wanted, MOST));
        if (told.state === "raised" && fits(told, wanted)) say(t("new_alert", told.host, t(told.severity)));
      }),
    [wanted],
  );
  const focused = () => document.activeElement?.closest?.("tr[data-id]")?.dataset.id;
  const step = (by) => () => {
    const links = [...body.current.querySelectorAll("tbody tr[data-id]")].map((row) => row.querySelector("a"));
    const at = links.findIndex((one) => one.closest("tr").dataset.id === focused());
    links[Math.min(Math.max(at + by, 0), links.length - 1)]?.focus();
  };
  const analyst = may(who, "analyst");
  const ids = list.map((one) => one.id);
  const toggle = (id, range) => {
    const [from, to] = [ids.indexOf(last.current), ids.indexOf(id)].sort((a, b) => a - b);
    choose((before) => {
      const after = new Set(before);
      if (range && from >= 0) ids.slice(from, to + 1).forEach((one) => after.add(one));
      else if (!after.delete(id)) after.add(id);
      return after;
    });
    last.current = id;
  };
  const begin = (name) => {
    const which = chosen.size ? list.filter((one) => chosen.has(one.id)) : list.filter((one) => one.id === focused());
    if (analyst && which.length) setAct({ name, alerts: which });
  };
  const every = () => choose(chosen.size === ids.length ? new Set() : new Set(ids));
  useKeys({
    j: step(1), k: step(-1), "/": () => search.current.focus(),
    x: () => analyst && focused() && toggle(focused()), X: () => analyst && focused() && toggle(focused(), true),
    "*": () => analyst && every(), Escape: () => choose(new Set()),
    ...Object.fromEntries(Object.entries(ACTS).map(([name, { key }]) => [key, () => begin(name)])),
  });
  const sort = wanted.sort || "raised";
  const sorting = (name) => ({ now: sort === name, way: SORTS[name], does: () => go(addressOf({ ...wanted, sort: name === "raised" ? "" : name }), true) });
  return html`<div class="heading"><h1>${t("alerts")}</h1>
      <span class="muted">${data && html`<span id="total">${t("of_all", count(data.total), count(data.all))}</span> · `}<a download
        href=${`/api/v1/alerts.csv${query(wanted)}`}>${t("as_csv")}</a>
      ${["json", "parquet"].map((format) => html` · <a download key=${format}
        href=${`/api/v1/export${query({ ...wanted, format })}`}>${t(`as_${format}`)}</a>`)}</span></div>
    <${Filters} wanted=${wanted} search=${search} who=${who} />
    <${Fault} error=${error} />
    ${analyst && chosen.size > 0 && html`<div class="buttons bulk" role="toolbar" aria-label=${t("chosen", count(chosen.size))}>
      <b>${t("chosen", count(chosen.size))}</b><${ActButtons} ask=${begin} />
      <button type="button" onClick=${() => choose(new Set())}>${t("choose_none")}</button></div>`}
    <div ref=${body} aria-busy=${loading}>
      ${data === null && !error
        ? html`<${Loading} />`
        : html`<${Table} caption=${t("alerts")} heads=${[
              ...(analyst ? [[html`<input type="checkbox" aria-label=${t("choose_all")} checked=${ids.length > 0 && chosen.size === ids.length} onChange=${every} />`]] : []),
              [t("when_raised"), "wide", sorting("raised")], [t("last_active"), "wide", sorting("active")],
              [t("host"), "", sorting("host")], [t("severity")], [t("abuse"), "wide"], [t("score"), "n", sorting("score")],
              [t("state"), "wide"], [t("networks_1h"), "n wide"], [t("why_short"), "wide"], [t("block"), "wide"], [t("handled"), "wide"],
            ]}>
            ${list.map((one) => html`<${Row} key=${one.id} one=${one} chosen=${chosen.has(one.id)} toggle=${analyst && toggle} />`)}
          </${Table}>`}
      ${data && list.length === 0 && html`<p class="muted">${t("none_fit")}</p>`}
      ${data?.next && most < MOST && html`<button type="button" onClick=${() => setMost(Math.min(MOST, most * 3))}>${t("more")}</button>`}
      ${data?.next && most >= MOST && html`<p class="muted">${t("narrow_down", count(MOST))}</p>`}
    </div>
    ${act && html`<${ActOn} ...${act} tell=${tell} close=${() => setAct(null)} after=${() => { choose(new Set()); again(); }} />`}
    <p class="unseen" role="status" aria-live="polite">${said}</p>`;
}

const Blocked = ({ of }) =>
  of.exempted ? html`<span class="standing released">${t("exempt")}</span>` : html`<${Standing} of=${of} />`;

function Row({ one, chosen, toggle }) {
  const done = one.state === "closed" || ["done", "snoozed"].includes(one.handling.state) || one.exempted;
  const strongest = one.gist?.strongest;
  return html`<tr data-id=${one.id} class=${`${one.fresh ? "fresh" : ""} ${done ? "done" : ""} ${chosen ? "chosen" : ""}`}>
    ${toggle && html`<td><input type="checkbox" aria-label=${t("choose", printable(one.host))} checked=${chosen} onClick=${(event) => toggle(one.id, event.shiftKey)} /></td>`}
    <td class="wide"><${Moment} ns=${one.opened} /></td>
    <td class="wide"><${Moment} ns=${one.ts} /></td>
    <td><${HostLink} host=${one.host} alert=${one.id} />${one.customer && html`<br /><${Customer} of=${one.customer} />`}
      <div class="narrow muted">${kindOf(one.abuse)} · <${Moment} ns=${one.ts} /> · ${t(one.state)} · <${Handled} of=${one} /><br /><${Blocked} of=${one} /></div></td>
    <td><${Severity} of=${one.severity} /></td>
    <td class="wide">${kindOf(one.abuse)}</td>
    <td class="n">${decibans(one.score)}</td>
    <td class="wide">${t(one.state)}</td>
    <td class="n wide">${one.gist && count(one.gist.networks)}</td>
    <td class="wide reason">${strongest && html`<${Sentence} of=${strongest.reason} ...${strongest} />`}</td>
    <td class="wide standing-cell"><${Blocked} of=${one} /></td>
    <td class="wide"><${Handled} of=${one} /></td>
  </tr>`;
}
