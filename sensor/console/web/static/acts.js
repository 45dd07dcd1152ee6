// What a person does about alerts: one, or many at once. The same on the list and on an alert's page.
import { html } from "./dom.js";
import { send } from "./api.js";
import { count, printable } from "./format.js";
import { Ask } from "./parts.js";
import { t } from "./words.js";

// By name: the key, and what is asked for.
export const ACTS = {
  take: { key: "t", asks: { needsReason: false, reason: false } },
  done: { key: "a", asks: { verdict: true, needsReason: false, reason: true } },
  note: { key: "n", asks: {} },
  snooze: { key: "s", asks: { hours: true, needsReason: false, reason: true } },
  assign: { key: "w", asks: { owner: true, needsReason: false, reason: true } },
  ticket: { key: "l", asks: { ticket: true, needsReason: false, reason: true } },
  reopen: { key: "o", asks: { needsReason: false, reason: true } },
};

async function act(name, ids, given) {
  let done = 0;
  for (let at = 0; at < ids.length; at += 1000) {
    const { reason = "", owner = "", hours = 0, verdict = "", ticket = "" } = given;
    const body = { alerts: ids.slice(at, at + 1000), act: name, reason, owner, hours, verdict, ticket };
    done += (await send("POST", "acts", body)).alerts;
  }
  return t(`acted_${name}`, count(done));
}

// The question of an act on `alerts`; to take what is there to be taken asks nothing.
export function ActOn({ name, alerts, tell, close, after }) {
  const ids = alerts.map((one) => one.id);
  const whom = ids.length === 1 ? printable(alerts[0].host) : t("alerts_n", count(ids.length));
  return html`<${Ask} question=${t(`ask_${name}`, whom)} action=${t(`act_${name}`)} ...${ACTS[name].asks} close=${close}
    does=${async (given) => {
      tell(await act(name, ids, given));
      after();
    }} />`;
}

export const ActButtons = ({ ask }) => html`${Object.keys(ACTS).map(
  (name) => html`<button type="button" key=${name} onClick=${() => ask(name)}>${t(`act_${name}`)} <kbd aria-hidden="true">${ACTS[name].key}</kbd></button>`,
)}`;
