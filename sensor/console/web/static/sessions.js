// What a host said last: names it gave itself are hostile, and shown as what they are.
import { html, useState } from "./dom.js";
import { count } from "./format.js";
import { Moment, Section, Table, Text } from "./parts.js";
import { t } from "./words.js";

const KEPT = 100;
const FIRST = 15;

export function Sessions({ sessions }) {
  const [whole, show] = useState(false);
  return html`<${Section} title=${t("sessions")} id="sessions" folds>
    ${sessions.length === 0
      ? html`<p class="muted">${t("no_sessions")}</p>`
      : html`<p class="muted">${t("sessions_note", KEPT)}</p>
        <${Table} caption=${t("sessions")} heads=${[
            [t("when")], [t("server")], [t("ended"), "wide"], ["HELO"], [t("sender"), "wide"],
            [t("recipients"), "n"], [t("mails"), "n wide"], [t("last_reply")], [t("odd"), "wide"],
          ]}>
          ${(whole ? sessions : sessions.slice(0, FIRST)).map((one) => html`<tr key=${`${one.ts} ${one.sport} ${one.dst}`}>
            <td><${Moment} ns=${one.ts} /></td>
            <td class="address">${one.dst_name ? html`<${Text} of=${one.dst_name} />` : one.dst}</td>
            <td class="wide">${one.ended}</td>
            <td>${one.helo !== null && html`<${Text} of=${one.helo} />`}${one.tls && html` <abbr title=${one.tls_version ?? ""}>TLS</abbr>`}</td>
            <td class="wide">${one.mail_from_domain && html`<${Text} of=${one.mail_from_domain} />`}</td>
            <td class="n">${count(one.rcpt_accepted)} / ${count(one.rcpt_rejected + one.rcpt_deferred)}</td>
            <td class="n wide">${count(one.messages_accepted)}</td>
            <td>${one.last_reply ?? ""}</td>
            <td class="wide">${one.anomalies.join(", ")}</td>
          </tr>`)}
        </${Table}>
        ${!whole && sessions.length > FIRST && html`<button type="button" onClick=${() => show(true)}>${t("more")}</button>`}`}
  </${Section}>`;
}
