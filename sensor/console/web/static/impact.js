// Who would be hit if foreign port 25 were closed.
import { html, useState } from "./dom.js";
import { may } from "./api.js";
import { clock, count } from "./format.js";
import { useFetched, useTitle } from "./hooks.js";
import { Fault, HostLink, Loading, Section, Table, Text } from "./parts.js";
import { t } from "./words.js";
import { zoneName } from "./zone.js";

const PAGE = 100;

export function Impact({ who }) {
  useTitle(t("impact"));
  return html`<h1>${t("impact_title")}</h1>
    ${may(who, "analyst") ? html`<${Report} />` : html`<p class="muted">${t("needs_role", t("analyst"))}</p>`}`;
}

function Report() {
  const { data, error } = useFetched("impact", {});
  const [shown, show] = useState(PAGE);
  if (error) return html`<${Fault} error=${error} />`;
  if (!data) return html`<${Loading} />`;
  const { report } = data;
  if (!report) return html`<p class="note"><${Text} of=${data.missing} /></p>`;
  return html`<p class="muted">${clock(report.first)} – ${clock(report.last)} ${zoneName()}</p>
    <p class="buttons"><a class="button" download href="/api/v1/impact.csv">${t("as_csv")}</a></p>
    <ul class="tiles">${Object.entries(report.totals).map(
      ([kind, n]) => html`<li key=${kind}><b>${count(n)}</b> ${t(kind)}</li>`,
    )}</ul>
    <${Section} title=${t("roll_out")} id="ranges">
      <${Table} caption=${t("roll_out")} heads=${[[t("network")], [t("to_tell"), "n"], ...Object.keys(report.totals).map((k) => [t(k), "n wide"])]}>
        ${report.ranges.slice(0, PAGE).map((one) => html`<tr key=${one.prefix}>
          <th scope="row">${one.prefix}</th>
          <td class="n">${count(Object.entries(one.counts).reduce((sum, [k, n]) => sum + (k === "spam source" ? 0 : n), 0))}</td>
          ${Object.keys(report.totals).map((k) => html`<td class="n wide" key=${k}>${count(one.counts[k] ?? 0)}</td>`)}</tr>`)}
      </${Table}></${Section}>
    <${Section} title=${t("subscribers")} id="subscribers">
      <${Table} caption=${t("subscribers")} heads=${[[t("host")], [t("kind")], [t("sessions"), "n"], [t("messages"), "n wide"], [t("providers"), "wide"], [t("reason")]]}>
        ${report.subscribers.slice(0, shown).map((one) => html`<tr key=${one.host}>
          <td class="address">${one.alert ? html`<${HostLink} host=${one.host} alert=${one.alert} />` : one.host}</td><td>${t(one.kind)}</td>
          <td class="n">${count(one.sessions)}</td><td class="n wide">${count(one.messages)}</td>
          <td class="wide"><${Text} of=${Object.keys(one.providers).slice(0, 3).join(", ")} /></td>
          <td><${Text} of=${one.reasons.join("; ")} /></td></tr>`)}
      </${Table}>
      ${shown < report.subscribers.length && html`<button type="button" onClick=${() => show(shown + PAGE)}>${t("more")}</button>`}
    </${Section}>`;
}
