// How sensor, disk, sinks and this server are.
import { html } from "./dom.js";
import { may, send } from "./api.js";
import { bytes, clock, count, fixed, percent, printable } from "./format.js";
import { useFetched, useTitle } from "./hooks.js";
import { Fault, Loading, Moment, Section, Sentence, Table } from "./parts.js";
import { Refused } from "./others.js";
import { t } from "./words.js";
import { zoneName } from "./zone.js";

// A destination of notifications: whether it takes them, and a test of it.
function Told({ one, who, again, tell }) {
  const trial = one.trial;
  const result = !trial ? "" : !trial.answered ? t("trial_asked") : trial.fault ? t("trial_failed", printable(trial.fault)) : t("trial_taken");
  const ask = async () => {
    try {
      await send("POST", "trials", { name: one.name });
      for (const wait of [300, 1000, 3000, 10000]) setTimeout(again, wait);
    } catch (fault) {
      tell(t("failed", fault.message));
    }
  };
  return html`<tr data-name=${one.name}><th scope="row">${one.name}</th>
    <td>${one.away ? html`<span class="state bad">${t("told_not")}</span> <${Moment} ns=${one.away.since} /> ${printable(one.away.reason)}` : t("told_yes")}</td>
    <td class="n">${count(one.waiting)}</td><td class="n">${count(one.refused)}</td>
    <td>${trial && html`<${Moment} ns=${trial.answered || trial.asked} /> ${printable(trial.by)}: ${result}`}
      ${may(who, "operator") && html` <button type="button" onClick=${ask}>${t("trial")}</button>`}</td></tr>`;
}

export function Health({ who, tell }) {
  useTitle(t("health"));
  const { data, error, again } = useFetched("health", {}, ["vitals", "blocks"]);
  if (!data) return html`<h1>${t("health")}</h1>${error ? html`<${Fault} error=${error} />` : html`<${Loading} />`}`;
  const v = data.vitals;
  const rows = {
    ...(v && {
      packets_per_second: fixed(v.packets / v.seconds, 0),
      packets_dropped: count(v.dropped),
      capture_loss: percent(v.loss),
      hosts: count(v.hosts),
      alerts_open: count(v.alerts_open),
    }),
    packet_time: `${clock(data.now)} ${zoneName()}`,
    written_seconds_ago: data.vitals_age === null ? "" : fixed(data.vitals_age, 0),
    journal: bytes(data.journal_bytes),
    evidence: bytes(data.evidence_bytes),
    disk_free: bytes(data.disk_free_bytes),
    ...Object.fromEntries(Object.entries(data.sinks_waiting).filter(([sink]) => !sink.startsWith("notify/")).map(([sink, n]) => [`${sink}_waiting`, count(n)])),
    blocking_stopped: t(data.blocking_stopped ? "yes" : "no"),
    streams: count(data.streams),
    streams_reset: count(data.streams_reset),
    version: data.version,
  };
  return html`<h1>${t("health")}</h1>
    <p><a href="/fleet">${t("fleet_link")}</a></p>
    <${Section} title=${t("troubles")} id="troubles">
      ${data.troubles.length === 0 ? html`<p class="note good">${t("all_well")}</p>`
        : html`<ul class="fault">${data.troubles.map((one) => html`<li key=${one.code + one.detail}><code>${one.code}</code> <${Sentence} of=${one.detail} ...${one.cause} /></li>`)}</ul>`}
    </${Section}>
    ${data.told.length > 0 && html`<${Section} title=${t("told")} id="told">
      <${Table} caption=${t("told")} heads=${[[t("told_to")], [t("state")], [t("waiting"), "n"], [t("told_refused"), "n"], [t("trial_last")]]}>
        ${data.told.map((one) => html`<${Told} key=${one.name} one=${one} who=${who} again=${again} tell=${tell} />`)}
      </${Table}></${Section}>`}
    <${Table} caption=${t("health")} heads=${[[t("what")], [t("value"), "n"]]}>
      ${Object.entries(rows).map(([name, value]) => html`<tr key=${name}><th scope="row"><code>${name}</code></th><td class="n">${value}</td></tr>`)}
    </${Table}>
    <${Refused} />`;
}
