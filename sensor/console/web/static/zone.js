// UTC as in the journal, in Wireshark and in mails to strangers, or the time of the place of who
// looks. Whichever it is stands beside it, and the other one where the mouse rests.
const ZONES = ["utc", "local"];
let zone = ZONES.includes(localStorage.getItem("zone")) ? localStorage.getItem("zone") : "utc";
export const inZone = () => zone;

export function setZone(which) {
  zone = which;
  localStorage.setItem("zone", which);
}

export const two = (n) => String(n).padStart(2, "0");

export function written(date) {
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

// The zone of a moment as people write it: an hour may have another in summer.
export function zoneName(ns = Date.now() * 1e6, which = zone) {
  if (which === "utc") return "UTC";
  const minutes = -new Date(ns / 1e6).getTimezoneOffset();
  const [h, m] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `UTC${minutes < 0 ? "−" : "+"}${h}${m ? `:${two(m)}` : ""}`;
}

