// The page: who is here, where they are, what goes on above it all.
import { html, render, useEffect, useRef, useState } from "./dom.js";
import { get, may, me, send } from "./api.js";
import { clock, count, fixed, percent, printable, span } from "./format.js";
import { catchClicks, go, useDialog, useKeys, useLocation, useTitle } from "./hooks.js";
import { connect, connected, on } from "./live.js";
import { language, speak, t } from "./words.js";
import { inZone, setZone, zoneName } from "./zone.js";
import { Access } from "./access.js";
import { Alerts } from "./alerts.js";
import { AlertPage, HostPage } from "./host.js";
import { Blocks } from "./blocks.js";
import { Case } from "./case.js";
import { Fault } from "./parts.js";
import { Fleet } from "./fleet.js";
import { Health } from "./health.js";
import { Hosts } from "./hosts.js";
import { Impact } from "./impact.js";
import { Overview } from "./overview.js";
import { Settings } from "./settings.js";

const PAGES = {
  "/": ["alerts", Alerts],
  "/hosts": ["hosts", Hosts],
  "/overview": ["overview", Overview],
  "/blocks": ["blocks", Blocks],
  "/impact": ["impact", Impact],
  "/settings": ["settings", Settings],
  "/health": ["health", Health],
  "/access": ["access", Access],
};
// Of the whole sensor: not for who is bound to prefixes.
const WHOLE = ["/settings", "/health"];
const mayOpen = (who, href) =>
  (who.prefixes.length === 0 || !WHOLE.includes(href)) && (href !== "/access" || may(who, "operator"));
const THEMES = ["auto", "light", "dark"];
const SHOWN = 6000;

function page(path, props) {
  if (PAGES[path]) return html`<${PAGES[path][1]} ...${props} />`;
  const alert = /^\/alerts\/([0-9a-f]{32})$/.exec(path);
  if (alert) return html`<${AlertPage} key=${alert[1]} id=${alert[1]} ...${props} />`;
  if (path === "/fleet") return html`<${Fleet} who=${props.who} tell=${props.tell} />`;
  if (path === "/host") return html`<${HostPage} key=${props.params.get("host")} ...${props} />`;
  if (path === "/case") return html`<${Case} key=${props.params.get("host")} ...${props} />`;
  return html`<p>${t("not_found")}</p>`;
}

function App() {
  const [who, setWho] = useState(null);
  const [error, setError] = useState(null);
  const [theme, setTheme] = useState(localStorage.getItem("theme") ?? "auto");
  const [, setLanguage] = useState(language());
  const [zone, showIn] = useState(inZone());
  const [said, say] = useState("");
  const [help, setHelp] = useState(false);
  const timer = useRef(0);
  const { path, params } = useLocation();
  useEffect(() => {
    if (path !== "/login")
      me().then((one) => {
        setWho(one);
        connect();
      }, setError);
    return on(["refused"], () => me().catch(() => {})); // who is nobody any more is sent to log in
  }, []);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("theme", theme);
  }, [theme]);
  useKeys({
    "?": () => setHelp(true),
    ...Object.fromEntries(Object.keys(PAGES).map((href, k) => [String(k + 1), () => go(href)])),
  });
  const tell = (text) => {
    say(text);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => say(""), SHOWN);
  };
  const choices = html`<div class="choices">
    <label><span class="unseen">${t("language")}</span>
      <select name="language" onChange=${(e) => { speak(e.target.value); setLanguage(e.target.value); }}>
        <option value="en" lang="en" selected=${language() === "en"}>English</option>
        <option value="ja" lang="ja" selected=${language() === "ja"}>日本語</option>
      </select></label>
    <label><span class="unseen">${t("zone")}</span>
      <select name="zone" onChange=${(e) => { setZone(e.target.value); showIn(e.target.value); }}>
        <option value="utc" selected=${zone === "utc"}>UTC</option>
        <option value="local" selected=${zone === "local"}>${t("zone_local", zoneName(undefined, "local"))}</option>
      </select></label>
    <label><span class="unseen">${t("theme")}</span>
      <select name="theme" onChange=${(e) => setTheme(e.target.value)}>
        ${THEMES.map((one) => html`<option value=${one} selected=${one === theme}>${t(`theme_${one}`)}</option>`)}
      </select></label></div>`;
  if (path === "/login") return html`<${Login} choices=${choices} />`;
  if (error) return html`<main><${Fault} error=${error} /></main>`;
  if (!who) return null;
  return html`<a class="skip" href="#content">${t("skip")}</a>
    <header>
      <a class="mark" href="/">port25</a>
      <nav aria-label=${t("pages")}>${Object.entries(PAGES).filter(([href]) => mayOpen(who, href)).map(
        ([href, [name]]) => html`<a href=${href} key=${href} aria-current=${href === path ? "page" : undefined}>${t(name)}</a>`,
      )}</nav>
      ${choices}
      <span class="who" title=${who.prefixes.join(" ")}>${who.name} (${t(who.role)}${who.prefixes.length ? `, ${who.prefixes[0]}${who.prefixes.length > 1 ? " …" : ""}` : ""})
        ${who.login && html`<button type="button" class="link" onClick=${async () => {
          await send("POST", "logout");
          location.assign("/login");
        }}>${t("log_out")}</button>`}</span>
    </header>
    <${Strip} bound=${who.prefixes.length > 0} />
    <main id="content" tabindex="-1">${page(path, { params, who, theme, tell })}</main>
    <p class=${said ? "toast" : "unseen"} role="status" aria-live="polite">${said}</p>
    ${help && html`<${Help} close=${() => setHelp(false)} />`}`;
}

function Strip({ bound }) {
  const [vitals, setVitals] = useState(null);
  const [status, setStatus] = useState(null);
  const [live, setLive] = useState(connected);
  const [, tick] = useState(0);
  useEffect(() => {
    const ask = async () => {
      const [course, now] = await Promise.all([get("vitals", { seconds: 60, points: 1 }), get("status")]);
      setVitals(course.vitals.at(-1) ?? null);
      heard(now);
    };
    const heard = (now) => setStatus({ ...now, at: performance.now() });
    const clock = setInterval(() => tick((n) => n + 1), 5000);
    const quietly = () => ask().catch(() => {});
    quietly();
    setLive(connected);
    const stops = [
      on(["connection"], setLive),
      on(["vitals"], setVitals),
      on(["status"], heard),
      on(["reset"], quietly),
      () => clearInterval(clock),
    ];
    return () => stops.forEach((stop) => stop());
  }, []);
  const v = vitals;
  const figures = v
    ? [
        [t("syn_rate"), fixed(v.syns / v.seconds, 1)],
        [t("packet_rate"), fixed(v.packets / v.seconds, 0)],
        [t("dropped"), count(v.dropped), v.dropped > 0],
        [t("loss"), percent(v.loss), v.loss >= 0.001],
        ...(bound ? [] : [[t("hosts_tracked"), count(v.hosts)], [t("alerts_open"), count(v.alerts_open)]]),
      ]
    : [];
  const well = live && status?.running;
  return html`${status?.fault && html`<p class="banner bad" role="alert">${t("unreadable", printable(status.fault))}</p>`}
    ${status?.stopped && html`<p class="banner bad" role="alert">${t("stopped")}</p>`}
    ${status?.mode === "dry-run" && status.blocked === 0 && html`<p class="banner">${t("dry_run_banner")}</p>`}
    ${status?.mode === "off" && status.blocked === 0 && !status.fault && html`<p class="banner">${t("off_banner")}</p>`}
    <dl class="strip" data-connected=${live ? "" : undefined}>
      <div><dt class="unseen">${t("sensor")}</dt><dd class=${well ? "live" : "bad"}>${state(live, status)}</dd></div>
      ${figures.map(([name, value, bad]) => html`<div key=${name} class=${bad || name === t("alerts_open") ? "" : "rate"}><dt>${name}</dt><dd class=${bad ? "bad" : ""}>${value}</dd></div>`)}
      ${status?.blocked > 0 && html`<div><dt>${t("blocked")}</dt><dd>${count(status.blocked)}</dd></div>`}
      ${status?.would_block > 0 && html`<div><dt>${t("would_block")}</dt><dd>${count(status.would_block)}</dd></div>`}
    </dl>`;
}

// The page may be connected to its server, and the sensor dead all the same.
function state(live, status) {
  if (!live) return t("not_live");
  if (!status || status.fault) return t("unknown");
  if (status.running) return t("live");
  if (status.silent === null) return t("sensor_never");
  const silent = status.silent + (performance.now() - status.at) / 1000;
  return t("sensor_silent", span(silent), clock(status.now), zoneName(status.now));
}

function Help({ close }) {
  const dialog = useDialog();
  const rows = [["j k", "key_list"], ["x X *", "key_choose"], ["/", "key_search"], ["t a n", "key_act"], ["s w o l", "key_act2"], ["m", "key_letter"], ["e r", "key_operator"], ["1–8", "key_pages"], ["?", "key_help"]];
  return html`<dialog ref=${dialog} onClose=${close} aria-labelledby="keys">
    <h2 id="keys">${t("keys")}</h2>
    <dl class="keys">${rows.map(([key, what]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${t(what)}</dd></div>`)}</dl>
    <p class="buttons"><button type="button" class="main" onClick=${() => dialog.current.close()}>${t("close")}</button></p>
  </dialog>`;
}

function Login({ choices }) {
  useTitle(t("log_in"));
  const [error, setError] = useState(null);
  const refused = /^[a-z]+$/.exec(new URLSearchParams(location.search).get("refused") ?? "")?.[0];
  const [door, setDoor] = useState({ login: true });
  useEffect(() => {
    get("login").then(setDoor, setError);
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    try {
      await send("POST", "login", { name: form.get("name"), password: form.get("password") });
      location.assign("/");
    } catch (fault) {
      setError(fault);
    }
  };
  return html`<main class="login">
    <h1>port25</h1>
    ${refused && html`<p class="fault" role="alert">${t("login_refused", refused)}</p>`}
    ${door.oidc && html`<p class="buttons"><a class="button main" href="/login/oidc" target="_self">${t("log_in_oidc")}</a></p>`}
    ${!door.login ? html`<p>${t("open_printed")}</p>` : (door.password ?? true) && html`<form onSubmit=${submit}>
      <label>${t("name")} <input name="name" autocomplete="username" required maxlength="64" /></label>
      <label>${t("password")} <input name="password" type="password" autocomplete="current-password" required /></label>
      <${Fault} error=${error} />
      <p class="buttons"><button type="submit" class="main">${t("log_in")}</button></p>
    </form>`}
    ${choices}
  </main>`;
}

catchClicks();
render(html`<${App} />`, document.getElementById("app"));
