// Letters about an alert: written from a template, sent by mail, kept as they were sent.
import { html, useEffect, useState } from "./dom.js";
import { get, may, send } from "./api.js";
import { printable } from "./format.js";
import { useDialog, useFetched, useKeys } from "./hooks.js";
import { Fault, Moment, Section, Text } from "./parts.js";
import { language, t } from "./words.js";

const KINDS = ["customer.en", "customer.ja", "xarf"];
const kindName = (kind) => t(`letter_${kind.replace(".", "_")}`);

function Write({ id, close, sent }) {
  const dialog = useDialog();
  const [kind, setKind] = useState(language() === "ja" ? "customer.ja" : "customer.en");
  const [draft, setDraft] = useState({ subject: "", text: "" });
  const [error, setError] = useState(null);
  useEffect(() => {
    const abort = new AbortController(); // the draft of a kind chosen before comes too late
    get(`alerts/${id}/draft`, { kind }, abort.signal).then(setDraft, (fault) => abort.signal.aborted || setError(fault));
    return () => abort.abort();
  }, [kind]);
  const submit = async (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const body = { kind, to: given.get("to"), subject: given.get("subject"), text: given.get("text") };
    try {
      await send("POST", `alerts/${id}/letters`, body);
      sent(body.to);
      close();
    } catch (fault) {
      setError(fault);
    }
  };
  return html`<dialog ref=${dialog} onClose=${close} aria-labelledby="letter"><form onSubmit=${submit}>
    <h2 id="letter">${t("letter")}</h2>
    <label>${t("letter_kind")} <select name="kind" onChange=${(e) => setKind(e.target.value)}>
      ${KINDS.map((one) => html`<option value=${one} selected=${one === kind}>${kindName(one)}</option>`)}</select></label>
    <label>${t("letter_to")} <input name="to" type="email" required maxlength="254" autocomplete="off" autofocus /></label>
    <label>${t("letter_subject")} <input name="subject" required maxlength="500" value=${draft.subject} /></label>
    <label>${t("letter_text")} <textarea name="text" required rows="14" cols="60" value=${draft.text}></textarea></label>
    <${Fault} error=${error} />
    <p class="buttons"><button type="submit" class="main">${t("letter_send")}</button>
      <button type="button" onClick=${() => dialog.current.close()}>${t("cancel")}</button></p>
  </form></dialog>`;
}

export function Letters({ id, who, tell }) {
  const { data, error, again } = useFetched(`alerts/${id}/letters`, {}, ["desk"]);
  const [writing, write] = useState(false);
  useKeys({ m: () => write(true) });
  if (!may(who, "analyst")) return null;
  return html`<${Section} title=${t("letters")} id="letters" folds
      aside=${html`<button type="button" onClick=${() => write(true)}>${t("letter_write")} <kbd aria-hidden="true">m</kbd></button>`}>
    <${Fault} error=${error} />
    ${(data?.letters ?? []).map((one) => html`<details key=${one.ts}><summary><${Moment} ns=${one.ts} /> <${Text} of=${one.by} />:
      ${kindName(one.kind)} → <${Text} of=${one.recipient} />: <${Text} of=${one.subject} />${!one.sent && html` <span class="state bad">${t("letter_not_sent")}</span>`}</summary>
      <pre>${one.message.split("\n").map((line) => printable(line.replace(/\r$/, ""))).join("\n")}</pre></details>`)}
    ${writing && html`<${Write} id=${id} close=${() => write(false)} sent=${(to) => { tell(t("letter_done", printable(to))); again(); }} />`}
  </${Section}>`;
}
