// All machines that work together, by their last word.
import { html, useState } from "./dom.js";
import { may } from "./api.js";
import { Resume } from "./blocks.js";
import { count, fixed, percent, printable } from "./format.js";
import { useFetched, useTitle } from "./hooks.js";
import { Fault, Loading, Moment, Section, Table } from "./parts.js";
import { t } from "./words.js";

const seconds = (value) => (value === null ? "" : fixed(value, 3));

function Said({ one }) {
  return one.noticed > 0 && html`<${Moment} ns=${one.noticed} /> ${printable(one.notice)}`;
}

// Whether Kafka answers who writes in this folder, and which of its brokers.
function Kafka({ of }) {
  const reached = of.brokers.filter((one) => one.reachable).length;
  return html`<p id="kafka" class=${of.answers && reached === of.brokers.length ? "" : "bad"} role="status">
    ${of.answers ? t("fleet_kafka") : html`${t("fleet_kafka_away")} <${Moment} ns=${of.since} /> (${printable(of.fault)}).`}
    ${" "}${reached}/${of.brokers.length} (${of.brokers.map((one) => `${one.reachable ? "" : "✗ "}${printable(one.address)}`).join(", ")})${of.heard > 0 && html`; ${t("fleet_kafka_heard")} <${Moment} ns=${of.heard} />`}</p>`;
}

// What is amiss with a machine, in a word each.
function State({ one, data }) {
  const faults = [
    data.now - one.heard > data.silent_after && "fleet_silent",
    one.left_behind && "fleet_left_behind",
    one.alone && "fleet_alone",
    one.differs && ["fleet_differs", one.differing],
    one.stopped && "fleet_stopped",
  ].filter(Boolean);
  return faults.length === 0 ? t("fleet_well") : faults.map((fault, k) => {
    const [name, which] = [fault].flat(1);
    return html`${k ? ", " : ""}<span class="state bad">${t(name)}${which?.length ? `: ${printable(which.join(", "))}` : ""}</span>`;
  });
}

export function Fleet({ who, tell }) {
  useTitle(t("fleet"));
  const [asked, ask] = useState("");
  const { data, error, again } = useFetched("fleet", {}, ["vitals", "blocks"]);
  if (!data) return html`<h1>${t("fleet")}</h1>${error ? html`<${Fault} error=${error} />` : html`<${Loading} />`}`;
  const sensors = data.members.filter((one) => one.role === "sensor");
  const others = data.members.filter((one) => one.role !== "sensor");
  const row = (one, cells) => html`<tr key=${one.name} data-name=${one.name}><th scope="row">${printable(one.name)}</th>
    <td><${State} one=${one} data=${data} />
      ${one.stopped && may(who, "operator") && html` <button type="button" onClick=${() => ask(one.name)}>${t("resume")}</button>`}</td>${cells}
    <td><${Moment} ns=${one.heard} /></td><td>${printable(one.version)}</td><td><${Said} one=${one} /></td></tr>`;
  const ends = [[t("fleet_heard")], [t("fleet_version")], [t("fleet_said")]];
  return html`<h1>${t("fleet")}</h1>
    <p class="muted">${t("fleet_note")}</p>
    ${data.written > 0 && data.now - data.written > data.stale_after && html`
      <p class="bad" role="status">${t("fleet_stale")} <${Moment} ns=${data.written} /></p>`}
    ${data.kafka && html`<${Kafka} of=${data.kafka} />`}
    ${data.members.length === 0 ? html`<p>${t("fleet_none")}</p>` : html`
    <${Section} title=${t("fleet_sensors")} id="sensors">
      <${Table} caption=${t("fleet_sensors")} heads=${[[t("fleet_name")], [t("state")], [t("fleet_packets"), "n"], [t("fleet_loss"), "n"], [t("fleet_behind"), "n"], [t("fleet_ahead"), "n"], ...ends]}>
        ${sensors.map((one) => row(one, html`<td class="n">${one.packets === null ? "" : fixed(one.packets, 0)}</td>
          <td class="n">${one.loss === null ? "" : percent(one.loss)}</td>
          <td class="n">${seconds(one.behind)}</td><td class="n">${seconds(one.ahead)}</td>`))}
      </${Table}></${Section}>
    <${Section} title=${t("fleet_others")} id="others">
      <${Table} caption=${t("fleet_others")} heads=${[[t("fleet_name")], [t("state")], [t("fleet_role")], [t("fleet_partitions")], [t("fleet_lag"), "n"], [t("fleet_latency"), "n"], ...ends]}>
        ${others.map((one) => row(one, html`<td>${t(`fleet_${one.role}`)}</td>
          <td>${Object.keys(one.partitions).join(", ")}</td>
          <td class="n">${one.role === "correlates" ? count(Object.values(one.partitions).reduce((a, b) => a + b, 0)) : ""}</td>
          <td class="n">${seconds(one.latency)}</td>`))}
      </${Table}></${Section}>`}
    ${asked && html`<${Resume} of=${asked} tell=${tell} again=${again} close=${() => ask("")} />`}`;
}
