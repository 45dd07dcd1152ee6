// How sensor, disk, sinks and this server are.
import { html } from "./dom.js";
import { bytes, clock, count, fixed, percent } from "./format.js";
import { useFetched, useTitle } from "./hooks.js";
import { Fault, Loading, Section, Sentence, Table } from "./parts.js";
import { t } from "./words.js";
import { zoneName } from "./zone.js";

export function Health() {
  useTitle(t("health"));
  const { data, error } = useFetched("health", {}, ["vitals", "blocks"]);
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
    ...Object.fromEntries(Object.entries(data.sinks_waiting).map(([sink, n]) => [`${sink}_waiting`, count(n)])),
    blocking_stopped: t(data.blocking_stopped ? "yes" : "no"),
    streams: count(data.streams),
    streams_reset: count(data.streams_reset),
    version: data.version,
  };
  return html`<h1>${t("health")}</h1>
    <${Section} title=${t("troubles")} id="troubles">
      ${data.troubles.length === 0 ? html`<p class="note good">${t("all_well")}</p>`
        : html`<ul class="fault">${data.troubles.map((one) => html`<li key=${one.code + one.detail}><code>${one.code}</code> <${Sentence} of=${one.detail} ...${one.cause} /></li>`)}</ul>`}
    </${Section}>
    <${Table} caption=${t("health")} heads=${[[t("what")], [t("value"), "n"]]}>
      ${Object.entries(rows).map(([name, value]) => html`<tr key=${name}><th scope="row"><code>${name}</code></th><td class="n">${value}</td></tr>`)}
    </${Table}>`;
}
