// Hosts that came near an alert.
import { html } from "./dom.js";
import { decibans } from "./format.js";
import { useFetched, useTitle } from "./hooks.js";
import { Fault, HostLink, Loading, Moment, Sentence, Table } from "./parts.js";
import { t } from "./words.js";

export function Hosts() {
  useTitle(t("hosts"));
  const { data, error } = useFetched("candidates", { limit: 500 }, ["vitals"]);
  return html`<h1>${t("hosts")}</h1>
    <p class="muted">${t("near_note")}</p>
    <${Fault} error=${error} />
    ${!data ? html`<${Loading} />`
      : data.candidates.length === 0 ? html`<p>${t("no_hosts")}</p>`
      : html`<${Table} caption=${t("hosts")} heads=${[[t("when"), "wide"], [t("host")], [t("score"), "n"], [t("most_against")]]}>
          ${data.candidates.map((one) => {
            const most = one.evidence.slice(1).reduce((a, b) => (b.decibans > a.decibans ? b : a));
            return html`<tr key=${one.host}>
              <td class="wide"><${Moment} ns=${one.ts} /></td>
              <td><${HostLink} host=${one.host} /></td>
              <td class="n">${decibans(one.score)}</td>
              <td><code>${most.detector}</code> ${decibans(most.decibans)}: <${Sentence} of=${most.reason} ...${most} /></td>
            </tr>`;
          })}
        </${Table}>`}`;
}
