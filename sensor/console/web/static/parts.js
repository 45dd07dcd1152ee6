// Pieces that several pages show.
import { html, useEffect, useRef, useState } from "./dom.js";
import { decibans, printable, short } from "./format.js";
import { said } from "./sentences.js";
import { language, t } from "./words.js";

const SIGNS = { critical: "▲▲▲", high: "▲▲", medium: "▲" };

// Text from the network or a person: isolated, so that it cannot turn its surroundings round.
export const Text = ({ of }) => html`<bdi class="said">${printable(of)}</bdi>`;

// A sentence of the sensor's, English in `of`; names from the network may be in it.
export const Sentence = ({ of, code, figures }) => {
  const text = said(code, figures, of);
  return html`<bdi lang=${text === of ? "en" : language()} class="said">${printable(text)}</bdi>`;
};

// One of the reasons of a decision.
export const Because = ({ of, nth = 0 }) =>
  html`<${Sentence} of=${of.reasons[nth] ?? ""} ...${of.causes[nth]} />`;

export const Severity = ({ of }) =>
  html`<span class=${`severity ${of}`}><span aria-hidden="true">${SIGNS[of]}</span> ${t(of)}</span>`;

export const HostLink = ({ host, alert }) =>
  html`<a href=${alert ? `/alerts/${alert}` : `/host?host=${encodeURIComponent(host)}`}>${printable(host)}</a>`;

export const Moment = ({ ns }) =>
  html`<time datetime=${new Date(ns / 1e6).toISOString()}>${short(ns)}</time>`;

// What became of the advice to block: the ledger's word, not the alert's.
export function Standing({ of }) {
  const { state, until, reason, cause } = of.block ?? { state: of.block_recommended ? "undecided" : "not_recommended" };
  const holds = state === "blocked" || state === "would_block";
  return html`<span class=${`standing ${state}`} title=${reason ? printable(said(cause?.code, cause?.figures, reason)) : undefined}>${
    holds ? t("until_time", t(state), short(until)) : t(state)}</span>`;
}

// A scrollable table with a caption; `wide` columns are left out on a telephone.
export function Table({ caption, heads, children, hidden = true }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}>
    <table>
      <caption class=${hidden ? "unseen" : ""}>${caption}</caption>
      <thead><tr>${heads.map(([name, kind]) => html`<th scope="col" class=${kind ?? ""}>${name}</th>`)}</tr></thead>
      <tbody>${children}</tbody>
    </table>
  </div>`;
}

export const Fault = ({ error }) =>
  error ? html`<p class="fault" role="alert">${t("failed", printable(error.message))}</p>` : null;

export const Loading = () => html`<p class="muted">${t("loading")}…</p>`;

export const Section = ({ title, id, aside, children }) => html`<section aria-labelledby=${id}>
  <div class="heading"><h2 id=${id}>${title}</h2>${aside}</div>
  ${children}
</section>`;

// The sum that makes a score, drawn and written.
export function Sum({ evidence, score, raise, clear }) {
  const most = Math.max(10, ...evidence.map((line) => Math.abs(line.decibans)));
  return html`<${Table} caption=${t("why")}
      heads=${[[t("detector")], [t("decibans"), "n"], ["", "bars wide"], [t("reason")]]}>
    ${evidence.map(
      (line) => html`<tr key=${line.detector}>
        <th scope="row"><code>${line.detector}</code></th>
        <td class="n">${decibans(line.decibans)}</td>
        <td class="bars wide"><${Bar} value=${line.decibans} most=${most} /></td>
        <td><${Sentence} of=${line.reason} ...${line} /></td>
      </tr>`,
    )}
    <tr class="total">
      <th scope="row">${t("score")}</th>
      <td class="n">${decibans(score)}</td>
      <td class="bars wide"></td>
      <td>${t("adds_up")}${raise === undefined
        ? null
        : html`; ${t("levels", decibans(raise), decibans(clear))}`}</td>
    </tr>
  </${Table}>`;
}

function Bar({ value, most }) {
  const width = `${(Math.abs(value) / most) * 50}%`;
  const style = value < 0 ? { right: "50%", width } : { left: "50%", width };
  return html`<span class="bar" aria-hidden="true"><span class=${value < 0 ? "for" : "against"} style=${style}></span></span>`;
}

// A question with a reason, and days where asked for; `does` may fail, and says why then.
export function Ask({ question, days, action, does, close, needsReason = true }) {
  const dialog = useRef(null);
  const [error, setError] = useState(null);
  useEffect(() => dialog.current.showModal(), []);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    try {
      await does({ reason: String(form.get("reason") ?? "").trim(), days: Number(form.get("days")) });
      close();
    } catch (fault) {
      setError(fault);
    }
  };
  return html`<dialog ref=${dialog} onClose=${close} aria-labelledby="question">
    <form onSubmit=${submit}>
      <p id="question">${question}</p>
      ${days && html`<label>${t("days")} <input name="days" type="number" min="1" max="3650" value="30" required /></label>`}
      ${needsReason &&
      html`<label>${t("reason")} <input name="reason" required maxlength="500" autocomplete="off" /></label>
        <p class="muted">${t("kept")}</p>`}
      <${Fault} error=${error} />
      <p class="buttons">
        <button type="submit" class="main">${action}</button>
        <button type="button" onClick=${() => dialog.current.close()}>${t("cancel")}</button>
      </p>
    </form>
  </dialog>`;
}
