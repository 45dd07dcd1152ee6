// The packets of an alert, as Wireshark shows them; looked at only when asked for, for it is logged.
import { html, useState } from "./dom.js";
import { get, may } from "./api.js";
import { count } from "./format.js";
import { Fault, Section, Table, Text } from "./parts.js";
import { t } from "./words.js";

const PAGE = 100;

export function Packets({ alert, who }) {
  const [found, set] = useState({ total: 0, packets: null });
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [open, setOpen] = useState(null);
  const more = async () => {
    setBusy(true);
    try {
      const after = found.packets?.at(-1)?.number ?? 0;
      const page = await get(`alerts/${alert.id}/packets`, { after, limit: PAGE });
      set({ total: page.total, packets: [...(found.packets ?? []), ...page.packets], sources: page.sources ?? [] });
      setError(null);
    } catch (fault) {
      setError(fault);
    }
    setBusy(false);
  };
  if (!may(who, "analyst"))
    return html`<${Section} title=${t("packets")} id="packets" folds><p class="muted">${t("needs_role", t("analyst"))}</p></${Section}>`;
  const whole = found.packets !== null && found.packets.length >= found.total;
  const first = found.packets?.[0]?.ts;
  return html`<${Section} title=${t("packets")} id="packets" folds>
    <p class="muted">${t("packets_note")}</p>
    <${Fault} error=${error} />
    ${found.sources?.length > 0 && html`<ul id="sources">${found.sources.map((one) => html`<li key=${one.sensor}><b>${one.sensor}</b>:
      <span class=${["given", "nothing"].includes(one.state) ? "" : "state bad"}>${t(`evidence_${one.state}`, count(one.packets))}</span> <${Text} of=${one.why} /></li>`)}</ul>`}
    ${found.packets && html`<p>${t("packets_of", count(found.packets.length), count(found.total))}</p>
      <${Table} caption=${t("packets")} heads=${[
          ["#", "n"], [t("since_first"), "n wide"], [t("source")], [t("destination")], [t("protocol"), "wide"], [t("length"), "n wide"], [t("info")],
        ]}>
        ${found.packets.map((one) => html`<tr key=${one.number}>
            <td class="n"><button type="button" class="link" aria-expanded=${open === one.number}
              onClick=${() => setOpen(open === one.number ? null : one.number)}>${one.number}</button></td>
            <td class="n wide">${(one.ts - first).toFixed(6)}</td>
            <td class="address">${one.source}</td><td class="address">${one.destination}</td>
            <td class="wide">${one.protocol}</td><td class="n wide">${one.length}</td>
            <td><${Text} of=${one.info} /></td>
          </tr>
          ${open === one.number && html`<tr><td colspan="7"><${Layers} layers=${one.layers} /></td></tr>`}`)}
      </${Table}>`}
    <p class="buttons">
      ${!whole && html`<button type="button" disabled=${busy} onClick=${more}>${busy ? `${t("loading")}…` : t(found.packets ? "more" : "show_packets")}</button>`}
      <a class="button" download href=${`/api/v1/alerts/${alert.id}/evidence.pcapng`}>${t("download")}</a>
    </p></${Section}>`;
}

const Layers = ({ layers }) => html`${layers.map(
  (layer) => html`<details open=${layer === layers.at(-1)}><summary>${layer.name}</summary>
    <pre>${layer.fields.map((field) => html`<${Text} of=${field} />${"\n"}`)}</pre></details>`,
)}`;
