// The block list in force, with what is left of each block; exemptions made at the desk.
import { html, useState } from "./dom.js";
import { may, query, send } from "./api.js";
import { count, printable, span } from "./format.js";
import { useFetched, useTitle } from "./hooks.js";
import { Ask, Because, Customer, Fault, HostLink, Loading, Moment, Section, Sentence, Table, Text } from "./parts.js";
import { t } from "./words.js";

// What one controller says became of a block.
function CarriedOut({ of }) {
  const dropped = of.dropped === null ? "" : t("packets_dropped", count(of.dropped));
  const delay = of.delay === null ? "" : ` ${t("took", of.delay < 10 ? of.delay.toFixed(1) : count(Math.round(of.delay)))}`;
  return html`<div><${Text} of=${of.controller} />: ${of.state === "in force"
    ? html`${t("carried_since")} <${Moment} ns=${of.since} />${delay}${dropped}`
    : of.state === "refused" ? html`<strong>${t("carried_refused")}</strong> <${Text} of=${of.why} />` : t(`carried_${of.state}`)}</div>`;
}

// A person has looked at it: blocking goes on, here or (`of`) where somebody else decides.
export function Resume({ of = "", tell, again, close }) {
  const does = async ({ reason }) => {
    const { here } = await send("POST", "resumes", { of, reason });
    tell(here ? t("done_resume") : t("done_resume_told", printable(of)));
    again();
  };
  return html`<${Ask} question=${of ? t("ask_resume_of", printable(of)) : t("ask_resume")} action=${t("resume")} does=${does} close=${close} />`;
}

export function BlockList({ most, act, resume }) {
  const { data, error, again } = useFetched("blocks", { limit: most ?? 1000 }, ["blocks", "vitals", "status"]);
  const blocks = data?.blocks ?? [];
  const told = data?.carried_out?.length > 0 && data.carried_out;
  const title = t(blocks.length > 0 && !blocks.some((one) => one.enforced) ? "would_title" : "blocks_title");
  return html`<${Section} title=${title} id="blocks"
      aside=${data && html`<a href="/blocks">${count(data.total)}</a>`}>
    <${Fault} error=${error} />
    ${data?.stopped && html`<p class="muted">${data.pause.map((of, k) => html`<${Sentence} of=${of} ...${data.pause_causes[k]} />. `)}
      ${resume && html` <button type="button" onClick=${() => resume(again)}>${t("resume")}</button>`}</p>`}
    ${!data ? html`<${Loading} />` : blocks.length === 0 ? html`<p class="muted">${t("no_blocks")}</p>`
      : html`<${Table} caption=${title} heads=${[
            [t("host")], [t("time_left"), "n"], ["", "bars wide"], [t("until"), "wide"], [t("mode")], ...(told ? [[t("carried_out")]] : []), [t("reason"), "wide"], ...(act ? [[""]] : []),
          ]}>
          ${blocks.map((one) => html`<tr key=${one.id}>
            <td><${HostLink} host=${one.host} alert=${one.alert} />${one.customer && html` <${Customer} of=${one.customer} />`}</td>
            <td class="n">${span((one.expires - data.now) / 1e9)}</td>
            <td class="bars wide"><span class="bar" aria-hidden="true"><span class="plain" style=${{
              left: 0, width: `${Math.min(100, (100 * (one.expires - data.now)) / (one.expires - one.since))}%`,
            }}></span></span></td>
            <td class="wide"><${Moment} ns=${one.expires} /></td>
            <td>${t(one.enforced ? "enforced" : "dry_run")}</td>
            ${told && html`<td>${told.filter((each) => each.host === one.host).map((each) => html`<${CarriedOut} of=${each} />`)}</td>`}
            <td class="wide"><${Because} of=${one} /></td>
            ${act && html`<td><button type="button" onClick=${() => act(one.customer || one.host, again)}>${t("release")}</button></td>`}
          </tr>`)}
        </${Table}>`}</${Section}>`;
}

export function Blocks({ who, tell }) {
  useTitle(t("blocks"));
  const [asked, ask] = useState(null);
  const exemptions = useFetched("exemptions", {}, ["desk"]);
  const operator = may(who, "operator");
  const release = async ({ reason }) => {
    const ended = await send("POST", "releases", { host: asked.host, reason });
    tell(t("done_release", ended.blocks));
    asked.again();
  };
  const lift = async () => {
    await send("DELETE", `exemptions${query({ host: asked.host })}`);
    tell(t("done_lift", asked.host));
    exemptions.again();
  };
  const found = exemptions.data?.exemptions ?? [];
  return html`<h1>${t("blocks")}</h1>
    <${BlockList} act=${operator && ((host, again) => ask({ host, again, what: "release" }))}
      resume=${operator && who.prefixes.length === 0 && ((again) => ask({ again, what: "resume" }))} />
    <${Section} title=${t("exemptions_title")} id="exemptions">
      <${Fault} error=${exemptions.error} />
      ${found.length === 0 ? html`<p class="muted">${t("no_exemptions")}</p>`
        : html`<${Table} caption=${t("exemptions_title")} heads=${[
              [t("host")], [t("until")], [t("by")], [t("reason")], ...(operator ? [[""]] : []),
            ]}>
            ${found.map((one) => html`<tr key=${one.host}>
              <td><${HostLink} host=${one.host} /></td><td><${Moment} ns=${one.until} /></td>
              <td><${Text} of=${one.by} /></td><td><${Text} of=${one.reason} /></td>
              ${operator && html`<td><button type="button" onClick=${() => ask({ host: one.host, what: "lift" })}>${t("lift")}</button></td>`}
            </tr>`)}
          </${Table}>`}
    </${Section}>
    ${asked?.what === "resume" && html`<${Resume} tell=${tell} again=${asked.again} close=${() => ask(null)} />`}
    ${asked && asked.what !== "resume" && html`<${Ask} question=${t(`ask_${asked.what}`, printable(asked.host))} action=${t(asked.what)}
      needsReason=${asked.what === "release"} does=${asked.what === "lift" ? lift : release} close=${() => ask(null)} />`}`;
}
