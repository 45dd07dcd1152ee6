// The stream: one for the whole page. A tab nobody looks at lets go of it after a minute.
const HIDDEN = 60_000;
const events = new EventTarget();
let source = null;
let timer = 0;

export let connected = false;

function set(state) {
  connected = state;
  events.dispatchEvent(new CustomEvent("connection", { detail: state }));
}

function pass(event) {
  events.dispatchEvent(new CustomEvent(event.type, { detail: JSON.parse(event.data) }));
}

export function connect() {
  if (source !== null) return;
  let before = false;
  source = new EventSource("/api/v1/stream");
  source.onopen = () => {
    set(true);
    // Of what was missed the server tells what it can; the rest is asked anew.
    if (before) events.dispatchEvent(new CustomEvent("reset", { detail: {} }));
    before = true;
  };
  source.onerror = () => {
    set(false);
    if (source !== null && source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(connect, 3000);
      events.dispatchEvent(new CustomEvent("refused", { detail: {} }));
    }
  };
  for (const name of ["alert", "vitals", "desk", "blocks", "status", "reset"]) source.addEventListener(name, pass);
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (document.hidden) {
    timer = setTimeout(() => {
      source?.close();
      source = null;
      set(false);
    }, HIDDEN);
  } else if (source === null) {
    connect();
    events.dispatchEvent(new CustomEvent("reset", { detail: {} }));
  }
});

// Call `does` with what the events tell; gives what ends it.
export function on(names, does) {
  const listener = (event) => does(event.detail, event.type);
  for (const name of names) events.addEventListener(name, listener);
  return () => names.forEach((name) => events.removeEventListener(name, listener));
}
