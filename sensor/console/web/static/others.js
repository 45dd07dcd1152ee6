// What others say of a host: reports of abuse and lists. It stands beside what the sensor saw.
import { html } from "./dom.js";
import { count } from "./format.js";
import { useFetched } from "./hooks.js";
import { Moment, Section, Table, Text } from "./parts.js";
import { t } from "./words.js";

export const Weight = ({ of }) => html`<p class="verdict">${t("others_weight", t(`level_${of.level}`), count(of.reports), count(of.reporters), count(of.lists))}${
  of.in_favour > 0 && html` ${t("others_favour", count(of.in_favour))}`} <span class="muted">${t("others_note")}</span></p>`;

export function Others({ of }) {
  if (!of || of.complaints.length === 0) return null;
  return html`<${Section} title=${t("others")} id="others-say" folds>
    <${Weight} of=${of.weight} />
    <${Table} caption=${t("others")} heads=${[[t("when")], [t("reporter")], [t("kind")], [t("address"), "wide"], [t("times"), "n wide"], [t("detail"), "wide"]]}>
      ${of.complaints.map((one, k) => html`<tr key=${k}><td><${Moment} ns=${one.ts} /></td><td><${Text} of=${one.reporter} /></td>
        <td>${one.origin === "list" ? t("on_a_list") : html`<${Text} of=${one.kind} />`}</td><td class="wide address">${one.address}</td>
        <td class="n wide">${count(one.incidents)}</td><td class="wide"><${Text} of=${one.detail} /></td></tr>`)}
    </${Table}></${Section}>`;
}

// What was not taken, and why.
export function Refused() {
  const { data } = useFetched("complaints", { limit: 1 });
  if (!data || data.refused.length === 0) return null;
  return html`<${Section} title=${t("complaints_refused")} id="complaints">
    <${Table} caption=${t("complaints_refused")} heads=${[[t("reason")], [t("times"), "n"], [t("last_one")], [t("detail"), "wide"]]}>
      ${data.refused.map((one) => html`<tr key=${one.reason}><td><code>${one.reason}</code></td><td class="n">${count(one.count)}</td>
        <td><${Moment} ns=${one.ts} /></td><td class="wide"><${Text} of=${one.example} /></td></tr>`)}
    </${Table}></${Section}>`;
}
