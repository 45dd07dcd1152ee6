// The sum that makes a score, drawn, written, and with the arithmetic of each line to check by hand.
import { html } from "./dom.js";
import { count, decibans, fixed } from "./format.js";
import { Sentence, Table } from "./parts.js";
import { t } from "./words.js";

// Of detectors that count steps for and against a host: which figures are counted.
const STEPS = {
  first_contact: ["failed", "answered"],
  rejections: ["refused", "taken"],
  dialogue: ["rude", "polite"],
  deliveries: ["without", "with"],
};
// Of those that weigh the unusual: the factor times log10 of how many times the usual (detectors/fan_out.py).
const UNUSUAL = { fan_out: ["networks", "addresses"], mx_lookups: ["lookups"] };
const NEAR = 0.06;

const held = (worth, line) =>
  Math.abs(worth - line.decibans) < NEAR ? "" : `, ${t("held_to", decibans(line.decibans))}`;

// How a line's decibans come about; null where its figures do not tell.
export function arithmetic(line) {
  const { figures } = line;
  const [against, favour] = (STEPS[line.detector] ?? []).map((name) => figures[name]);
  if (Number.isFinite(against) && Number.isFinite(favour) && Number.isFinite(figures.up) && Number.isFinite(figures.down)) {
    const worth = against * figures.up + favour * figures.down;
    return `${count(against)} × ${decibans(figures.up)} + ${count(favour)} × (${decibans(figures.down)}) = ${decibans(worth)}${held(worth, line)}`;
  }
  const n = (UNUSUAL[line.detector] ?? []).map((name) => figures[name]).find(Number.isFinite);
  if (!(n > figures.usual) || line.decibans <= 0) return null;
  const worth = Math.log10(n / figures.usual);
  const factor = Math.round(line.decibans / worth);
  // A factor that is not whole was cut by the most a detector may say.
  return Math.abs(factor * worth - line.decibans) < NEAR
    ? `${factor} × log₁₀(${count(n)} / ${count(figures.usual)}) = ${decibans(line.decibans)}`
    : `log₁₀(${count(n)} / ${count(figures.usual)}) = ${fixed(worth, 2)}; ${t("held_to", decibans(line.decibans))}`;
}

export function Sum({ evidence, score, raise, clear }) {
  const most = Math.max(10, ...evidence.map((line) => Math.abs(line.decibans)));
  return html`<${Table} caption=${t("why")}
      heads=${[[t("detector")], [t("decibans"), "n"], ["", "bars wide"], [t("reason")]]}>
    ${evidence.map(
      (line) => html`<tr key=${line.detector}>
        <th scope="row"><code>${line.detector}</code></th>
        <td class="n">${decibans(line.decibans)}</td>
        <td class="bars wide"><${Bar} value=${line.decibans} most=${most} /></td>
        <td><${Sentence} of=${line.reason} ...${line} />${arithmetic(line) && html`<div class="muted figure-line">${arithmetic(line)}</div>`}</td>
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

