// Pieces that several pages show.
import { html, useState } from "./dom.js";
import { send } from "./api.js";
import { both, decibans, printable, short } from "./format.js";
import { useDialog } from "./hooks.js";
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

// What kind of abuse it is, in a word.
export const kindOf = (abuse) => t(`abuse_${(abuse ?? "unknown").replace(" ", "_")}`);

// A customer's name, for who may be told it, and only when asked for: each look is in the audit book.
export function CustomerName({ of, who }) {
  const [name, setName] = useState(null);
  const [error, setError] = useState(null);
  if (!who.names) return null;
  if (name !== null) return html` <b id="customer-name"><${Text} of=${name} /></b>`;
  const look = () => send("POST", "customer/name", { customer: of }).then((told) => setName(told.name), setError);
  return html` <button type="button" onClick=${look}>${t("customer_name")}</button><${Fault} error=${error} />`;
}

// A customer's pseudonym is for machines: how it begins tells customers of a list apart.
export const Customer = ({ of }) =>
  html`<span class="muted customer" title=${`${t("customer")} ${printable(of)}`}>${printable(of.slice(0, 10))}…</span>`;

export const Moment = ({ ns }) =>
  html`<time datetime=${new Date(ns / 1e6).toISOString()} title=${both(ns)}>${short(ns)}</time>`;

// What became of the advice to block: the ledger's word, not the alert's.
export function Standing({ of }) {
  const { state, until, reason, cause } = of.block ?? { state: of.block_recommended ? "undecided" : "not_recommended" };
  const holds = state === "blocked" || state === "would_block";
  const { gist } = of;
  const why = state === "not_recommended"
    ? gist && said(gist.block_code, gist.block_figures, gist.block_reason)
    : state !== "expired" && reason && said(cause?.code, cause?.figures, reason);
  return html`<span class=${`standing ${state}`} title=${holds ? both(until) : undefined}>${
    holds ? t("until_time", t(state), short(until)) : t(state)}${why && html`<span class="why">: <bdi>${printable(why)}</bdi></span>`}</span>`;
}

// How far the desk is with an alert, and whose it is.
export function Handled({ of }) {
  const { state, owner, verdict, reopened, until, ticket } = of.handling ?? { state: "new" };
  return html`<span class=${`handled ${state}`} title=${state === "snoozed" ? both(until) : undefined}>${
    reopened ? t("reopened") : t(`handled_${state}`)}${owner && html` <bdi>${printable(owner)}</bdi>`}${
    verdict && html` · ${t(`verdict_${verdict}`)}`}${
    ticket && html` · <bdi class="ticket" title=${printable(ticket)}>${printable(ticket.replace(/^https?:\/\/.*\/(?=[^/]+)/, ""))}</bdi>`}</span>`;
}

// A ticket elsewhere; an address can be followed.
export const Ticket = ({ of }) => /^https?:\/\/\S+$/.test(of)
  ? html`<a href=${of} target="_blank" rel="noopener noreferrer">${printable(of)} ↗</a>`
  : html`<${Text} of=${of} />`;

// A scrollable table with a caption; `wide` columns are left out on a telephone.
export function Table({ caption, heads, children, hidden = true }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}>
    <table>
      <caption class=${hidden ? "unseen" : ""}>${caption}</caption>
      <thead><tr>${heads.map(([name, kind, sorting]) => html`<th scope="col" class=${kind ?? ""}
        aria-sort=${sorting?.now ? sorting.way : undefined}>${sorting
          ? html`<button type="button" class="link sort" onClick=${sorting.does}>${name}${sorting.now && html`<span aria-hidden="true"> ${sorting.way === "ascending" ? "▴" : "▾"}</span>`}</button>`
          : name}</th>`)}</tr></thead>
      <tbody>${children}</tbody>
    </table>
  </div>`;
}

export const Fault = ({ error }) =>
  error ? html`<p class="fault" role="alert">${t("failed", printable(error.message))}</p>` : null;

export const Loading = () => html`<p class="muted">${t("loading")}…</p>`;

const TELEPHONE = matchMedia("(max-width: 640px)");

// One that `folds` is closed at first on a telephone, where a page of all is thirty screens long.
export function Section({ title, id, aside, folds, children }) {
  const heading = html`<h2 id=${id}>${title}</h2>`;
  return html`<section aria-labelledby=${id}>${folds && TELEPHONE.matches
    ? html`<details class="folded"><summary>${heading}</summary>${aside}${children}</details>`
    : html`<div class="heading">${heading}${aside}</div>${children}`}
</section>`;
}

const VERDICTS = ["bot", "compromised", "bulk_mail", "own_server", "misconfigured", "test", "false_alarm", "unclear"];

// A question with a reason, and with days, hours, a person or a verdict where asked for; `does` may
// fail, and says why then.
export function Ask({ question, days, hours, owner, verdict, ticket, name, action, does, close, needsReason = true, reason = needsReason, noted = true }) {
  const dialog = useDialog();
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const text = (name) => String(form.get(name) ?? "").trim();
    try {
      await does({
        reason: text("reason"), days: Number(form.get("days")), hours: Number(form.get("hours")),
        owner: text("owner"), verdict: text("verdict"), ticket: text("ticket"), name: text("name"),
      });
      close();
    } catch (fault) {
      setError(fault);
    }
  };
  return html`<dialog ref=${dialog} onClose=${close} aria-labelledby="question">
    <form onSubmit=${submit}>
      <p id="question">${question}</p>
      ${days && html`<label>${t("days")} <input name="days" type="number" min="1" max="3650" value="30" required /></label>`}
      ${hours && html`<label>${t("hours")} <input name="hours" type="number" min="1" max="8760" value="8" required /></label>`}
      ${name && html`<label>${t("name")} <input name="name" required maxlength=${name === true ? 40 : name} autocomplete="off" /></label>`}
      ${owner && html`<label>${t("owner")} <input name="owner" required maxlength="64" autocomplete="off" /></label>`}
      ${ticket && html`<label>${t("ticket_field")} <input name="ticket" maxlength="300" autocomplete="off" autofocus /></label>`}
      ${verdict && html`<label>${t("verdict")} <select name="verdict"><option value="">${t("verdict_none")}</option>
        ${VERDICTS.map((one) => html`<option value=${one}>${t(`verdict_${one}`)}</option>`)}</select></label>`}
      ${reason &&
      html`<label>${t("reason")} <input name="reason" required=${needsReason} maxlength="500" autocomplete="off" autofocus /></label>`}
      ${noted && html`<p class="muted">${t("kept")}</p>`}
      <${Fault} error=${error} />
      <p class="buttons">
        <button type="submit" class="main">${action}</button>
        <button type="button" onClick=${() => dialog.current.close()}>${t("cancel")}</button>
      </p>
    </form>
  </dialog>`;
}
