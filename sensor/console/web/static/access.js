// Who may: tokens for programs, and the book of who looked at packets and who did what.
import { html, useEffect, useState } from "./dom.js";
import { get, query, send } from "./api.js";
import { count, printable } from "./format.js";
import { useFetched, useTitle } from "./hooks.js";
import { Ask, Fault, HostLink, Moment, Section, Table, Text } from "./parts.js";
import { t } from "./words.js";

const PAGE = 100;
const ROLES = ["viewer", "analyst", "operator"];

function MakeToken({ made }) {
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const given = new FormData(form);
    const prefixes = String(given.get("prefixes")).split(/[\s,]+/).filter(Boolean);
    try {
      made(await send("POST", "tokens", {
        name: given.get("name"), role: given.get("role"), prefixes, days: Number(given.get("days")),
      }));
      setError(null);
      form.elements.name.value = "";
    } catch (fault) {
      setError(fault);
    }
  };
  return html`<form class="row" onSubmit=${submit}>
    <label>${t("name")} <input name="name" required maxlength="64" pattern="[\\w.@\\-]+" autocomplete="off" /></label>
    <label>${t("role")} <select name="role">${ROLES.map((one) => html`<option value=${one}>${t(one)}</option>`)}</select></label>
    <label>${t("prefixes")} <input name="prefixes" placeholder=${t("prefixes_all")} autocomplete="off" /></label>
    <label>${t("days")} <input name="days" type="number" min="1" max="3650" value="365" required /></label>
    <button type="submit">${t("token_make")}</button>
    <${Fault} error=${error} />
  </form>`;
}

function Tokens({ tell, audit }) {
  const { data, error, again } = useFetched("tokens", {});
  const [made, setMade] = useState(null);
  const [asked, ask] = useState(null);
  const changed = () => {
    again();
    audit();
  };
  const revoke = async () => {
    await send("DELETE", `tokens${query({ name: asked })}`);
    tell(t("token_revoked", printable(asked)));
    changed();
  };
  const good = (data?.tokens ?? []).filter((one) => !one.revoked && one.until > Date.now() * 1e6);
  return html`<${Section} title=${t("tokens")} id="tokens">
    <${Fault} error=${error} />
    ${made && html`<p class="note good" role="status">${t("token_once", printable(made.made.name))} <code class="token">${made.token}</code></p>`}
    ${good.length === 0 ? html`<p class="muted">${t("no_tokens")}</p>`
      : html`<${Table} caption=${t("tokens")} heads=${[[t("name")], [t("role")], [t("prefixes")], [t("made"), "wide"], [t("until")], [""]]}>
        ${good.map((one) => html`<tr key=${one.name}><th scope="row"><${Text} of=${one.name} /></th><td>${t(one.role)}</td>
          <td>${one.prefixes.length ? printable(one.prefixes.join(" ")) : t("prefixes_all")}</td>
          <td class="wide"><${Moment} ns=${one.made} /> <${Text} of=${one.by} /></td><td><${Moment} ns=${one.until} /></td>
          <td><button type="button" onClick=${() => ask(one.name)}>${t("token_revoke")}</button></td></tr>`)}
      </${Table}>`}
    <${MakeToken} made=${(one) => { setMade(one); changed(); }} />
    ${asked && html`<${Ask} question=${t("ask_revoke", printable(asked))} action=${t("token_revoke")} needsReason=${false} does=${revoke} close=${() => ask(null)} />`}
  </${Section}>`;
}

export function Access({ tell }) {
  useTitle(t("access"));
  const [rows, setRows] = useState([]);
  const [next, setNext] = useState(null);
  const [error, setError] = useState(null);
  const read = (before) =>
    get("audit", { limit: PAGE, before }).then((page) => {
      setRows((shown) => (before ? [...shown, ...page.rows] : page.rows));
      setNext(page.next);
    }, setError);
  useEffect(() => {
    read();
  }, []);
  return html`<h1>${t("access")}</h1>
    <${Tokens} tell=${tell} audit=${() => read()} />
    <${Section} title=${t("audit")} id="audit" aside=${html`<span class="muted">${count(rows.length)}</span>`}>
      <p class="muted">${t("audit_note")}</p>
      <${Fault} error=${error} />
      <${Table} caption=${t("audit")} heads=${[[t("when")], [t("by")], [t("what")], [t("host")], [t("reason"), "wide"]]}>
        ${rows.map((one) => html`<tr key=${`${one.ts} ${one.act} ${one.alert}`}><td><${Moment} ns=${one.ts} /></td><td><${Text} of=${one.by} /></td>
          <td>${t(one.act === "note" ? "audit_note_" : `audit_${one.act.replace(" ", "_")}`)}</td>
          <td>${one.host && html`<${HostLink} host=${one.host} alert=${one.alert} />`}</td>
          <td class="wide"><${Text} of=${one.detail} /></td></tr>`)}
      </${Table}>
      ${next && html`<p><button type="button" onClick=${() => read(next)}>${t("more")}</button></p>`}
    </${Section}>`;
}
