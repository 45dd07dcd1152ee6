// What pages have in common: where we are, what was fetched, what is done with keys.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "./dom.js";
import { get } from "./api.js";
import { on } from "./live.js";

const moved = new EventTarget();

export function go(href, replace = false) {
  history[replace ? "replaceState" : "pushState"](null, "", href);
  moved.dispatchEvent(new Event("moved"));
  if (!replace) scrollTo(0, 0);
}

export function useLocation() {
  const read = () => ({ path: location.pathname, params: new URLSearchParams(location.search) });
  const [where, set] = useState(read);
  useEffect(() => {
    const follow = () => set(read());
    addEventListener("popstate", follow);
    moved.addEventListener("moved", follow);
    return () => {
      removeEventListener("popstate", follow);
      moved.removeEventListener("moved", follow);
    };
  }, []);
  return where;
}

// Links of the page stay in the page.
export function catchClicks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    const plain = !event.defaultPrevented && event.button === 0 && !event.metaKey && !event.ctrlKey;
    if (!link || !plain || event.shiftKey || link.hasAttribute("download") || link.target) return;
    if (link.origin !== location.origin || link.pathname.startsWith("/api/")) return;
    if (link.hash && link.pathname === location.pathname) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}

// Data of one request, asked again when it changes or one of the events comes, at most once a
// second however many come.
export function useFetched(path, params, again = []) {
  const [state, set] = useState({ data: null, error: null });
  const key = JSON.stringify([path, params]);
  const running = useRef(null);
  const last = useRef(0);
  const timer = useRef(0);
  const fetchNow = useCallback(async () => {
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    last.current = performance.now();
    try {
      const data = await get(path, params, abort.signal);
      if (!abort.signal.aborted) set({ data, error: null, key });
    } catch (error) {
      if (!abort.signal.aborted) set((before) => ({ ...before, error, key }));
    }
  }, [key]);
  useEffect(() => {
    fetchNow();
    const stop = on([...again, "reset"], () => {
      clearTimeout(timer.current);
      const wait = Math.max(0, last.current + 1000 - performance.now());
      timer.current = setTimeout(fetchNow, wait);
    });
    return () => {
      stop();
      clearTimeout(timer.current);
      running.current?.abort();
    };
  }, [key]);
  return { ...state, again: fetchNow, loading: state.key !== key };
}

export function useTitle(title) {
  useEffect(() => {
    document.title = `${title} · port25`;
  }, [title]);
}

const typing = (event) => event.target.closest?.("input, select, textarea, dialog[open]");

// A dialog that is open as soon as it is drawn: the next key is typed into it, not into the page.
export function useDialog() {
  const dialog = useRef(null);
  useLayoutEffect(() => dialog.current.showModal(), []);
  return dialog;
}

// Single keys, as in less and k9s; not while somebody types.
export function useKeys(keys) {
  // With the drawing itself: a key pressed right after another acts on what is drawn by then.
  useLayoutEffect(() => {
    const press = (event) => {
      if (typing(event) || event.ctrlKey || event.metaKey || event.altKey) return;
      const does = keys[event.key];
      if (does) {
        event.preventDefault();
        does();
      }
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });
}
