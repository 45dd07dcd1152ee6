// A case: one subscriber's alerts, addresses, blocks, notes, letters, ticket; its history in order.
import { html, useEffect, useState } from "./dom.js";
import { send } from "./api.js";
import { clock, count, decibans, printable } from "./format.js";
import { useFetched, useKeys, useTitle } from "./hooks.js";
import { on } from "./live.js";
import { Ask, CustomerName, Fault, Handled, HostLink, Loading, Moment, Section, Sentence, Severity, Standing, Table, Text, Ticket } from "./parts.js";
import { Weight } from "./others.js";
import { t } from "./words.js";

// What is asked for, by act, with its key.
const ACTS = { note: { key: "n", asks: {} }, ticket: { key: "l", asks: { ticket: true, needsReason: false, reason: true } } };

function What({ of }) {
  if (of.what === "alert") return html`${t("alert_is", t(of.kind))} ${decibans(of.score)}`;
  if (of.what === "decision") return html`${t(`decided_${of.kind}`)}${of.enforced === false && html` <span class="muted">(${t("dry_run")})</span>`}`;
  if (of.what === "letter") return html`${t("letter_of", t(`letter_${of.kind.replace(".", "_")}`))}`;
  if (of.what === "complaint") return t("complaint_of", printable(of.kind));
  if (of.what === "exempt") return t(of.kind === "lift" ? "audit_lift" : "audit_exempt");
  return t(`past_${of.kind}`, printable(of.owner || of.ticket), clock(of.until));
}

const Detail = ({ of }) => html`${of.verdict && html`<b>${t(`verdict_${of.verdict}`)}</b> `}${
  of.cause ? html`<${Sentence} of=${of.text} ...${of.cause} />` : of.text && html`<${Text} of=${of.text} />`}${
  of.until > 0 && ["decision", "exempt"].includes(of.what) && html` <span class="muted">${t("until_time", "", clock(of.until))}</span>`}`;

const Addresses = ({ of }) => of.length === 0 ? null : html`<${Section} title=${t("addresses_had")} id="addresses">
  <ul>${of.map((one) => html`<li key=${one.address + one.since}>${printable(one.address)} <span class="muted">${
    one.until ? t("customer_at", clock(one.since), clock(one.until)) : t("customer_now", clock(one.since))}</span></li>`)}</ul></${Section}>`;

const Alerts = ({ of }) => html`<${Section} title=${t("alerts")} id="alerts">
  <${Table} caption=${t("alerts")} heads=${[[t("when_raised")], [t("host")], [t("severity")], [t("score"), "n"], [t("state"), "wide"], [t("block"), "wide"], [t("handled"), "wide"]]}>
    ${of.map((one) => html`<tr key=${one.id}>
      <td><${Moment} ns=${one.opened} /></td><td><${HostLink} host=${one.host} alert=${one.id} /></td>
      <td><${Severity} of=${one.severity} /></td><td class="n">${decibans(one.score)}</td><td class="wide">${t(one.state)}</td>
      <td class="wide standing-cell"><${Standing} of=${one} /></td><td class="wide"><${Handled} of=${one} /></td></tr>`)}
  </${Table}></${Section}>`;

const History = ({ of, left }) => html`<${Section} title=${t("history")} id="history">
  <${Table} caption=${t("history")} heads=${[[t("when")], [t("what")], [t("by"), "wide"], [t("host"), "wide"], [t("detail")]]}>
    ${of.map((one, k) => html`<tr key=${k}>
      <td><${Moment} ns=${one.ts} /></td><td><${What} of=${one} /></td><td class="wide">${one.by && html`<${Text} of=${one.by} />`}</td>
      <td class="wide">${one.alert ? html`<${HostLink} host=${one.host} alert=${one.alert} />` : printable(one.host)}</td>
      <td><${Detail} of=${one} /></td></tr>`)}
  </${Table}>${left > 0 && html`<p class="muted">${t("older_left_out", count(left))}</p>`}</${Section}>`;

export function Case({ params, who, tell }) {
  const host = params.get("host") ?? "";
  const { data, error, again } = useFetched("case", { host }, ["desk", "blocks"]);
  const [asked, ask] = useState(null);
  useTitle(`${t("case")} ${printable(host)}`);
  useEffect(() => on(["alert"], (told) => [told.host, told.customer].includes(host) && again()), [host, again]);
  useKeys(Object.fromEntries(Object.entries(ACTS).map(([name, one]) => [one.key, () => ask(name)])));
  if (error) return html`<${Fault} error=${error} />`;
  if (!data) return html`<${Loading} />`;
  const does = async ({ reason, ticket }) => {
    await send("POST", "case/acts", { host, act: asked, reason, ticket: asked === "ticket" ? ticket : "" });
    tell(t(`acted_${asked}`, count(1)));
    again();
  };
  return html`<div class="heading"><h1>${t("case")} ${printable(host)}</h1>
      <div class="buttons">${Object.entries(ACTS).map(([name, one]) => html`<button type="button" key=${name} onClick=${() => ask(name)}>${t(`act_${name}`)} <kbd aria-hidden="true">${one.key}</kbd></button>`)}</div></div>
    ${data.customer && html`<p class="verdict">${t("customer")}: <code>${printable(data.customer)}</code><${CustomerName} key=${data.customer} of=${data.customer} who=${who} /></p>`}
    ${data.ticket && html`<p class="verdict">${t("ticket")}: <${Ticket} of=${data.ticket} /></p>`}
    ${data.links.length > 0 && html`<p class="buttons links">${data.links.map((one) => html`<a class="button" key=${one.name} href=${one.url} target="_blank" rel="noopener noreferrer">${printable(one.name)} ↗</a>`)}</p>`}
    ${data.weight.level !== "none" && html`<${Weight} of=${data.weight} />`}
    <${Addresses} of=${data.addresses} />
    <${Alerts} of=${data.alerts} />
    <${History} of=${data.events} left=${data.left_out} />
    ${asked && html`<${Ask} question=${t(`ask_${asked}`, printable(host))} action=${t(`act_${asked}`)} ...${ACTS[asked].asks} close=${() => ask(null)} does=${does} />`}`;
}
