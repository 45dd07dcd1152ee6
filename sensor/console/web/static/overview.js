// How it goes: connections, loss, fan-out, where the alerts are, what is blocked.
import { html, useMemo } from "./dom.js";
import { clock, count, decibans, fixed, percent } from "./format.js";
import { go, useFetched, useTitle } from "./hooks.js";
import { Fault, HostLink, Loading, Section, Severity, Standing, Table } from "./parts.js";
import { BlockList } from "./blocks.js";
import { Plot } from "./plot.js";
import { t } from "./words.js";
import { zoneName } from "./zone.js";

const HOURS = [2, 24, 48];
const STEPS = ["1", "2", "3–4", "5–8", "9–16", "17–32", "33–64", "65+"];

export function Overview({ params, theme }) {
  useTitle(t("overview"));
  const hours = HOURS.includes(Number(params.get("hours"))) ? Number(params.get("hours")) : 2;
  const { data, error } = useFetched("vitals", { seconds: hours * 3600, points: 720 }, ["vitals"]);
  const networks = useFetched("networks", { limit: 20 }, ["vitals"]);
  const vitals = data?.vitals ?? [];
  const last = vitals.at(-1);
  return html`<div class="heading"><h1>${t("overview")}</h1>
      <div class="buttons">${HOURS.map((h) => html`<button type="button" key=${h} aria-pressed=${h === hours}
        onClick=${() => go(`/overview?hours=${h}`, true)}>${t("last_hours", h)}</button>`)}</div></div>
    <${Fault} error=${error} />
    <${Summary} hours=${hours} />
    ${!data ? html`<${Loading} />` : vitals.length === 0 ? html`<p>${t("no_vitals")}</p>`
      : html`<${Rates} vitals=${vitals} theme=${theme} />
        <div class="columns">
          <${FanOut} steps=${last.fan_out} />
          <${Networks} found=${networks.data} />
        </div>`}
    <${BlockList} most=${10} />`;
}

const SEVERITIES = ["critical", "high", "medium"];

// Alerts raised over time, a bar a span that opens the list of it; open ones by severity; the worst.
function Summary({ hours }) {
  const { data, error } = useFetched("summary", { hours }, ["alert", "desk"]);
  if (!data) return html`<${Fault} error=${error} />`;
  const sum = (one) => SEVERITIES.reduce((n, of) => n + one.raised[of], 0);
  const most = Math.max(1, ...data.spans.map(sum));
  const raised = data.spans.reduce((n, one) => n + sum(one), 0);
  return html`<${Section} title=${t("raised_title")} id="raised" aside=${html`<span class="figure">${count(raised)}</span>`}>
      <div class="spans" role="list">${data.spans.map((one) => html`<a role="listitem" key=${one.since}
        href=${`/?since=${one.since}&until=${one.until}`} aria-label=${`${clock(one.since)}: ${count(sum(one))}`} title=${`${clock(one.since)}: ${SEVERITIES.map((of) => `${t(of)} ${count(one.raised[of])}`).join(", ")}`}>
        ${SEVERITIES.map((of) => html`<span key=${of} class=${of} style=${{ height: `${(100 * one.raised[of]) / most}%` }}></span>`)}</a>`)}</div>
      <p class="muted">${clock(data.spans[0].since)} – ${clock(data.now)} ${zoneName()}</p>
    </${Section}>
    <div class="columns">
      <${Section} title=${t("severity_title")} id="severities">
        <${Table} caption=${t("severity_title")} heads=${[[t("severity")], [t("alerts"), "n"]]}>
          ${SEVERITIES.map((of) => html`<tr key=${of}><th scope="row"><a href=${`/?state=open&severity=${of}`}><${Severity} of=${of} /></a></th><td class="n">${count(data.open[of])}</td></tr>`)}
        </${Table}></${Section}>
      <${Section} title=${t("worst_title")} id="worst">
        ${data.hosts.length === 0 ? html`<p class="muted">${t("none_fit")}</p>` : html`<${Table} caption=${t("worst_title")} heads=${[[t("host")], [t("score"), "n"], [t("block"), "wide"]]}>
          ${data.hosts.map((one) => html`<tr key=${one.id}><th scope="row"><${HostLink} host=${one.host} alert=${one.id} /></th>
            <td class="n">${decibans(one.score)}</td><td class="wide"><${Standing} of=${one} /></td></tr>`)}
        </${Table}>`}</${Section}>
    </div>`;
}

function Rates({ vitals, theme }) {
  const language = document.documentElement.lang;
  const times = useMemo(() => vitals.map((v) => v.ts), [vitals]);
  const rates = useMemo(
    () => [
      { label: t("syn_rate"), colour: "--accent", values: vitals.map((v) => v.syns / v.seconds) },
      { label: t("answered_rate"), colour: "--good", values: vitals.map((v) => v.answered / v.seconds), width: 1 },
    ],
    [vitals, language],
  );
  const loss = useMemo(
    () => [{ label: `${t("loss")} %`, colour: "--critical", values: vitals.map((v) => v.loss * 100) }],
    [vitals, language],
  );
  const last = vitals.at(-1);
  const rate = fixed(last.syns / last.seconds, 1);
  return html`<${Section} title=${t("rate_title")} id="rates" aside=${html`<span class="figure">${rate}/s</span>`}>
      <${Plot} label=${`${t("rate_title")}: ${rate}/s, ${clock(last.ts)}`} times=${times} series=${rates} theme=${theme} />
    </${Section}>
    <${Section} title=${t("loss_title")} id="loss" aside=${html`<span class="figure">${percent(last.loss)}</span>`}>
      <${Plot} label=${`${t("loss_title")}: ${percent(last.loss)}, ${clock(last.ts)}`} times=${times} series=${loss} theme=${theme} height=${110} />
    </${Section}>`;
}

function FanOut({ steps }) {
  const most = Math.max(1, ...steps);
  return html`<${Section} title=${t("fan_out_title")} id="fan_out">
    <${Table} caption=${t("fan_out_title")} heads=${[[t("networks_axis")], [t("hosts_tracked"), "n"], ["", "bars"]]}>
      ${STEPS.map((name, k) => html`<tr key=${name}><th scope="row">${name}</th>
        <td class="n">${count(steps[k] ?? 0)}</td>
        <td class="bars"><span class="bar" aria-hidden="true"><span class=${k > 4 ? "against" : "plain"}
          style=${{ left: 0, width: `${((steps[k] ?? 0) / most) * 100}%` }}></span></span></td></tr>`)}
    </${Table}></${Section}>`;
}

// The list's search takes a piece of text: of a /24 the first three numbers and a dot are one.
const searched = (prefix) => (prefix.endsWith(".0/24") ? prefix.slice(0, -4) : null);

function Networks({ found }) {
  return html`<${Section} title=${t("networks_title")} id="networks">
    ${!found ? html`<${Loading} />` : found.networks.length === 0 ? html`<p class="muted">${t("none_fit")}</p>`
      : html`<${Table} caption=${t("networks_title")} heads=${[[t("network")], [t("with_alert"), "n"], [t("with_block"), "n"]]}>
        ${found.networks.map((one) => html`<tr key=${one.prefix}>
          <th scope="row">${searched(one.prefix)
            ? html`<a href=${`/?state=open&text=${searched(one.prefix)}`}>${one.prefix}</a>` : one.prefix}</th>
          <td class="n">${count(one.hosts)}</td><td class="n">${count(one.recommended)}</td></tr>`)}
      </${Table}>`}</${Section}>`;
}
