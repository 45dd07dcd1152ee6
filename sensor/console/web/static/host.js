// One alert, or one host: why, what happened, where it went, what it said, what was decided.
import { html, useEffect, useMemo, useState } from "./dom.js";
import { may, query, send } from "./api.js";
import { ACTS, ActButtons, ActOn } from "./acts.js";
import { clock, count, decibans, printable } from "./format.js";
import { useFetched, useKeys, useTitle } from "./hooks.js";
import { Letters } from "./letters.js";
import { on } from "./live.js";
import { Ask, Because, CustomerName, Fault, Handled, HostLink, Loading, Moment, Section, Sentence, Severity, Standing, Table, Text, Ticket } from "./parts.js";
import { Others as Said } from "./others.js";
import { Packets } from "./packets.js";
import { Plot } from "./plot.js";
import { Sessions } from "./sessions.js";
import { Sum } from "./sum.js";
import { windowName } from "./sentences.js";
import { t } from "./words.js";
import { zoneName } from "./zone.js";

export function AlertPage({ id, who, theme, tell }) {
  const { data, error, again } = useFetched(`alerts/${id}`, {}, ["desk", "blocks"]);
  useEffect(() => on(["alert"], (told) => told.id === id && again()), [id, again]);
  if (error) return html`<${Fault} error=${error} />`;
  if (!data) return html`<${Loading} />`;
  return html`<${Host} host=${data.listed.host} whole=${data} who=${who} theme=${theme} tell=${tell} />`;
}

export function HostPage({ params, who, theme, tell }) {
  return html`<${Host} host=${params.get("host") ?? ""} who=${who} theme=${theme} tell=${tell} />`;
}

// To other systems, by the settings' templates; they are not told where from.
const Links = ({ of }) => of.length === 0 ? null : html`<p class="buttons links">${of.map(
  (one) => html`<a class="button" key=${one.name} href=${one.url} target="_blank" rel="noopener noreferrer">${printable(one.name)} ↗</a>`,
)}</p>`;

function Host({ host, whole, who, theme, tell }) {
  useTitle(printable(host));
  const alert = whole?.alert;
  const listed = whole?.listed;
  const whom = listed?.customer || host;
  const { data, error, again } = useFetched("host", { host: whom }, ["desk", "blocks"]);
  const sum = alert ?? data?.candidate;
  return html`<div class="heading">
      <h1>${printable(host)}
        ${alert && html` <${Severity} of=${alert.severity} /> <span class="state">${t(alert.state)}</span>`}
        ${sum && html` <span class="score">${decibans(sum.score)}</span>`}</h1>
      <${Actions} host=${whom} listed=${listed} alerts=${data?.alerts ?? []} seen=${Boolean(data)} who=${who} tell=${tell} exempted=${data?.exempted} again=${again} />
    </div>
    <${Done} notes=${whole?.notes ?? []} exempted=${data?.exempted} />
    <${Links} of=${whole?.links ?? data?.links ?? []} />
    ${data && may(who, "analyst") && html`<p class="verdict"><a href=${`/case${query({ host: whom })}`}>${t("case_open")}</a></p>`}
    ${alert && html`<p class="verdict"><${Sentence} of=${alert.abuse} code=${`abuse.${(alert.abuse ?? "unknown").replace(" ", "_")}`} figures=${{}} /></p>
      ${alert.customer && html`<${Whose} alert=${alert} who=${who} />`}
      <p class="verdict">${t("handled")}: <${Handled} of=${listed} />${listed.handling.ticket && html` (<${Ticket} of=${listed.handling.ticket} />)`}</p>
      ${!data?.exempted && html`<p class="verdict ${alert.block_recommended ? "bad" : ""}">
        ${t("block_is", t(alert.block_recommended ? "recommended" : "not_recommended"), "")}<${Sentence} of=${alert.block_reason} code=${alert.block_code} figures=${alert.block_figures} /></p>`}
      <p class="verdict">${t("block")}: ${data?.exempted ? html`<span class="standing released">${t("exempt")}</span>` : html`<${Standing} of=${listed} />`}</p>`}
    ${error?.status === 404 && !whole ? html`<p class="fault" role="alert">${t("host_not_seen", printable(host))}</p>` : html`<${Fault} error=${whole ? null : error} />`}
    ${sum && html`<${Section} title=${t("why")} id="why">
        <${Sum} evidence=${sum.evidence} score=${sum.score} raise=${alert?.raise_at} clear=${alert?.clear_at} />
        ${alert && html`<p class="muted">${t("evidence_line", count(alert.connections), count(alert.proven), count(alert.disowned))}</p>`}
        ${alert?.sensor && html`<p class="muted">${t("told_by_sensor", printable(alert.sensor))}</p>`}
      </${Section}>`}
    ${whole && html`<${Said} of=${whole.others} />`}
    ${alert && may(who, "analyst") && html`<${Letters} id=${alert.id} who=${who} tell=${tell} />`}
    ${whole && html`<${Course} course=${whole.course} alert=${alert} theme=${theme} />`}
    ${alert && html`<${Destinations} alert=${alert} /><${Counts} windows=${alert.windows} />`}
    ${data && html`<${Sessions} sessions=${data.sessions} />`}
    ${alert && html`<${Packets} key=${alert.id} alert=${alert} who=${who} />`}
    ${data?.decisions.length > 0 && html`<${Decisions} decisions=${data.decisions} />`}
    ${data && html`<${Others} alerts=${data.alerts} />`}`;
}

// The customer behind the address, and where he was of late.
const Whose = ({ alert, who }) => html`<div class="verdict" id="customer">${t("customer")}: <code>${printable(alert.customer)}</code><${CustomerName} key=${alert.customer} of=${alert.customer} who=${who} />
    (<a href=${`/?text=${encodeURIComponent(`customer:${alert.customer}`)}`}>${t("customer_alerts")}</a>)
    ${alert.addresses?.length > 0 && html`<ul>${alert.addresses.map((one) => html`<li key=${one.address + one.since}>
      ${printable(one.address)} <span class="muted">${one.until ? t("customer_at", clock(one.since), clock(one.until)) : t("customer_now", clock(one.since))}</span></li>`)}</ul>`}</div>`;

function Done({ notes, exempted }) {
  return html`${notes.map((one) => html`<p class="note" key=${one.ts}>${t("acted_by", clock(one.ts), zoneName(one.ts), printable(one.by),
      t(`past_${one.act}`, printable(one.owner || one.ticket), clock(one.until)))}${one.verdict && html`: <b>${t(`verdict_${one.verdict}`)}</b>`}${one.reason && html`: <${Text} of=${one.reason} />`}</p>`)}
    ${exempted && html`<p class="note">${t("exempted_by", clock(exempted.until), printable(exempted.by), printable(exempted.reason))}</p>`}`;
}

function Actions({ host, listed, alerts, seen, who, tell, exempted, again }) {
  const [asked, ask] = useState(null);
  const [act, setAct] = useState(null);
  const analyst = listed && may(who, "analyst");
  const known = listed || seen;
  const acts = {
    exempt: may(who, "operator") && !exempted && known,
    lift: may(who, "operator") && exempted,
    release: may(who, "operator") && (listed ? [listed] : alerts).some((one) => ["blocked", "would_block", "lookup"].includes(one.block.state)),
  };
  const does = {
    exempt: async ({ reason, days }) => {
      await send("POST", "exemptions", { host, days, reason });
      return t("done_exempt", host);
    },
    lift: async () => {
      await send("DELETE", `exemptions${query({ host })}`);
      return t("done_lift", host);
    },
    release: async ({ reason }) => t("done_release", (await send("POST", "releases", { host, reason })).blocks),
  };
  const key = (name) => () => acts[name] && ask(name);
  useKeys({
    e: key("exempt"), r: key("release"),
    ...Object.fromEntries(Object.entries(ACTS).map(([name, one]) => [one.key, () => analyst && setAct(name)])),
  });
  const label = (name) => t(name === "exempt" ? "do_exempt" : name);
  return html`<div class="buttons">
    ${analyst && html`<${ActButtons} ask=${setAct} />`}
    ${Object.keys(acts).filter((name) => acts[name]).map(
      (name) => html`<button type="button" key=${name} onClick=${() => ask(name)}>${label(name)}</button>`,
    )}
    ${act && html`<${ActOn} name=${act} alerts=${[listed]} tell=${tell} close=${() => setAct(null)} after=${again} />`}
    ${asked && html`<${Ask} question=${t(`ask_${asked}`, printable(host))} days=${asked === "exempt"}
        needsReason=${asked !== "lift"} action=${label(asked)} close=${() => ask(null)}
        does=${async (given) => {
          tell(await does[asked](given));
          again();
        }} />`}
  </div>`;
}

function Course({ course, alert, theme }) {
  const series = useMemo(
    () => [
      { label: t("score_axis"), colour: "--accent", values: course.map((s) => s.score) },
      { label: t("raised"), colour: "--critical", values: course.map(() => alert.raise_at), dash: [6, 4], width: 1 },
      { label: t("networks_axis"), colour: "--high", values: course.map((s) => s.networks["1 h"]), scale: "networks", stepped: true },
    ],
    [course, document.documentElement.lang],
  );
  const times = useMemo(() => course.map((s) => s.ts), [course]);
  const said = course.map((s) => `${clock(s.ts)} ${decibans(s.score)}`).slice(-3).join("; ");
  return html`<${Section} title=${t("course")} id="course" folds>
    <${Plot} label=${`${t("course")}: ${said}`} times=${times} series=${series} theme=${theme} height=${200} />
    <${Table} caption=${t("course")} heads=${[[t("when")], [t("state")], [t("score"), "n"], [t("networks_axis"), "n"]]}>
      ${course.slice(-12).reverse().map((s) => html`<tr key=${s.ts}>
        <td><${Moment} ns=${s.ts} /></td><td>${t(s.state)}</td>
        <td class="n">${decibans(s.score)}</td><td class="n">${count(s.networks["1 h"])}</td></tr>`)}
    </${Table}></${Section}>`;
}

// The /24 of an address, or its /48 (RFC 5952), as the sensor counts networks.
export function network(address) {
  if (!address.includes(":")) return `${address.split(".").slice(0, 3).join(".")}.0/24`;
  const [begin, end] = address.split("::").map((part) => part.split(":").filter(Boolean));
  const left = end ? Array(8 - begin.length - end.length).fill("0") : [];
  const three = [...begin, ...left, ...(end ?? [])].slice(0, 3).join(":");
  return `${three.replace(/^0:0:0$|(:0)+$/, "")}::/48`;
}

function Destinations({ alert }) {
  const { data } = useFetched(`alerts/${alert.id}/destinations`, {});
  const more = new Map((data?.destinations ?? []).map((one) => [one.address, one]));
  const asked = data?.asked ?? false;
  const networks = new Map();
  for (const one of alert.destinations) {
    const name = network(one.address);
    networks.set(name, [...(networks.get(name) ?? []), one]);
  }
  return html`<${Section} title=${t("destinations")} id="destinations" folds>
    <h3>${t("by_name")}</h3>
    ${alert.exchangers.length === 0
      ? html`<p class="muted">${t("no_names")}</p>`
      : html`<${Table} caption=${t("by_name")} heads=${[[t("provider")], [t("exchanger")], [t("addresses"), "n"]]}>
          ${alert.exchangers.map((one) => html`<tr key=${one.name}>
            <td><${Text} of=${one.provider ?? ""} /></td><td><${Text} of=${one.name} /></td>
            <td class="n">${count(one.addresses)}</td></tr>`)}
        </${Table}>`}
    <h3>${t("by_network")}</h3>
    <${Table} caption=${t("by_network")} heads=${[[t("network")], [t("address")], [t("exchanger"), "wide"],
        ...(asked ? [[t("autonomous_system"), "wide"], [t("ptr"), "wide"]] : []), [t("last_contact")]]}>
      ${[...networks].flatMap(([name, list]) => list.map((one, k) => html`<tr key=${one.address}>
        <td class="address">${k ? "" : name}</td><td class="address">${one.address}</td>
        <td class="wide">${one.name ? html`<${Text} of=${one.name} />` : html`<span class="muted">${t("no_name")}</span>`}</td>
        ${asked && html`<td class="wide">${more.get(one.address)?.asn > 0 && html`AS${more.get(one.address).asn} <${Text} of=${more.get(one.address).network} />`}</td>
          <td class="wide">${more.get(one.address)?.ptr && html`<${Text} of=${more.get(one.address).ptr} />`}</td>`}
        <td><${Moment} ns=${one.last_seen * 1e9} /></td></tr>`))}
    </${Table}>${data?.fault && html`<p class="muted">${t("failed", printable(data.fault))}</p>`}</${Section}>`;
}

function Counts({ windows }) {
  const names = Object.keys(windows);
  const rows = Object.keys(windows[names[0]]).filter((what) => names.some((w) => windows[w][what]));
  return html`<${Section} title=${t("counts")} id="counts" folds>
    <${Table} caption=${t("counts")} heads=${[[t("what")], ...names.map((w) => [windowName(w), "n"])]}>
      ${rows.map((what) => html`<tr key=${what}><th scope="row"><code>${what}</code></th>
        ${names.map((w) => html`<td class="n" key=${w}>${count(windows[w][what])}</td>`)}</tr>`)}
    </${Table}></${Section}>`;
}

// Which reasons of a decision the one before it, of the same kind, had not; newest first.
export const newIn = (one, before) => {
  const fresh = [...one.reasons.keys()].filter((nth) => before?.action !== one.action || !before.reasons.includes(one.reasons[nth]));
  return fresh.length ? fresh : [0];
};

function Decisions({ decisions }) {
  return html`<${Section} title=${t("decisions")} id="decisions" folds>
    <${Table} caption=${t("decisions")} heads=${[[t("when")], [t("decision")], [t("mode")], [t("by"), "wide"], [t("reason")]]}>
      ${decisions.map((one, k) => html`<tr key=${one.id}>
        <td><${Moment} ns=${one.ts} /></td><td>${t(`decided_${one.action}`)}</td>
        <td>${t(one.enforced ? "enforced" : "dry_run")}</td>
        <td class="wide"><${Text} of=${one.by} /></td><td>${newIn(one, decisions[k + 1]).map((nth) => html`<${Because} of=${one} nth=${nth} /><br />`)}</td></tr>`)}
    </${Table}></${Section}>`;
}

function Others({ alerts }) {
  if (alerts.length === 0) return null;
  return html`<${Section} title=${t("other_alerts")} id="others" folds>
    <${Table} caption=${t("other_alerts")} heads=${[[t("when_raised")], [t("host")], [t("severity")], [t("score"), "n"], [t("state")]]}>
      ${alerts.map((one) => html`<tr key=${one.id}>
        <td><${Moment} ns=${one.opened} /></td><td><${HostLink} host=${one.host} alert=${one.id} /></td>
        <td><${Severity} of=${one.severity} /></td><td class="n">${decibans(one.score)}</td><td>${t(one.state)}</td></tr>`)}
    </${Table}></${Section}>`;
}
