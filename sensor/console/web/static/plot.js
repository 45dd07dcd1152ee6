// Time series with uPlot, in the page's colours, in UTC, with the newest values in words.
import { html, useEffect, useRef } from "./dom.js";
import uPlot from "./vendor/uPlot.js";

const LEAST = 300;

// A canvas does not know the page's variables: an element does.
function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// The hour, with seconds where they differ, and below it the day where that is another.
function hours(_, splits) {
  const digits = splits.length > 1 && splits[1] - splits[0] < 60 ? 8 : 5;
  let before = "";
  return splits.map((s) => {
    const [day, hour] = new Date(s * 1e3).toISOString().split("T");
    const text = hour.slice(0, digits) + (day === before ? "" : `\n${day}`);
    before = day;
    return text;
  });
}

const moment = (_, s) => (s === null ? "" : `${new Date(s * 1e3).toISOString().slice(0, 19).replace("T", " ")}`);

// `series`: [{ label, colour, values, dash, scale, stepped, width }] over `times` (ns).
export function Plot({ label, times, series, height = 180, theme }) {
  const box = useRef(null);
  useEffect(() => {
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const scales = [...new Set(series.map((s) => s.scale ?? "y"))];
    const options = {
      width: box.current.clientWidth,
      height,
      tzDate: (ts) => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"),
      cursor: { drag: { x: false, y: false } },
      scales: Object.fromEntries([
        ["x", { range: (_, low, high) => (low === high ? [low - LEAST, high + LEAST] : [low, high]) }],
        ...scales.map((s) => [s, { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(1, high ?? 1) * 1.05] }]),
      ]),
      axes: [{ ...axis, values: hours, size: 44 }, ...scales.map((scale, k) => ({ ...axis, scale, side: k ? 1 : 3, size: 56, grid: { ...axis.grid, show: k === 0 } }))],
      series: [
        { label: "UTC", value: moment },
        ...series.map((s) => ({
          label: s.label,
          scale: s.scale ?? "y",
          stroke: colour(s.colour),
          width: s.width ?? 2,
          dash: s.dash,
          points: { show: times.length < 40 && !s.dash },
          paths: s.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
        })),
      ],
    };
    const plot = new uPlot(options, [times.map((ns) => ns / 1e9), ...series.map((s) => s.values)], box.current);
    const observer = new ResizeObserver(() => plot.setSize({ width: box.current.clientWidth, height }));
    observer.observe(box.current);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [times, series, theme]);
  return html`<figure role="img" aria-label=${label}><div ref=${box}></div></figure>`;
}
