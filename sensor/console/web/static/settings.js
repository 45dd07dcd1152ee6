// The settings, read-only.
import { html, useState } from "./dom.js";
import { useFetched, useTitle } from "./hooks.js";
import { Fault, Loading, Table, Text } from "./parts.js";
import { t } from "./words.js";

const written = (value) => (typeof value === "string" ? value : JSON.stringify(value));

export function Settings() {
  useTitle(t("settings"));
  const { data, error } = useFetched("settings", {});
  const [chosen, setFew] = useState(null);
  const differs = (data?.settings ?? []).some((one) => written(one.value) !== written(one.default));
  const few = chosen ?? differs; // as long as nobody chose: what was set, where something was
  const rows = (data?.settings ?? []).filter((one) => !few || written(one.value) !== written(one.default));
  return html`<h1>${t("settings")}</h1>
    <p class="muted">${t("settings_note")} ${data?.file && html`<${Text} of=${data.file} />`}</p>
    <label class="check"><input type="checkbox" checked=${few} onChange=${(e) => setFew(e.target.checked)} /> ${t("changed_only")}</label>
    <${Fault} error=${error} />
    ${!data ? html`<${Loading} />` : html`<${Table} caption=${t("settings")} heads=${[[t("setting")], [t("value")], [t("default"), "wide"]]}>
      ${rows.map((one) => html`<tr key=${one.key} class=${written(one.value) === written(one.default) ? "" : "changed"}>
        <th scope="row"><code>${one.key}</code>${one.text && html`<div class="muted meaning" lang="en">${one.text}</div>`}</th>
        <td><code><${Text} of=${written(one.value)} /></code></td>
        <td class="wide"><code class="muted"><${Text} of=${written(one.default)} /></code></td></tr>`)}
    </${Table}>`}`;
}
