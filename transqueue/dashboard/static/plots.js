// Draws what /ui/plots.json tells, in the colours of the page's style.
"use strict";

(() => {
  const HEIGHT = 150;
  const KINDS = {
    throughput: [["in", "accepted", "--plot-1"], ["done", "done", "--plot-2"], ["failed", "failed", "--plot-3"]],
    wait: [["p50", "wait50", "--plot-2"], ["p95", "wait95", "--plot-1"]],
    run: [["p50", "run50", "--plot-2"], ["p95", "run95", "--plot-1"]],
  };
  const drawn = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function seconds(value) {
    if (value == null) return "-";
    if (value < 1) return `${+(value * 1000).toPrecision(3)} ms`;
    return value < 120 ? `${+value.toPrecision(3)} s` : `${+(value / 60).toPrecision(3)} min`;
  }

  const pad = (number) => String(number).padStart(2, "0");

  function time(value, withDay) {
    const at = new Date(value * 1000);
    const clock = `${pad(at.getHours())}:${pad(at.getMinutes())}`;
    return withDay ? `${pad(at.getDate())}.${pad(at.getMonth() + 1)}. ${clock}` : clock;
  }

  const number = (value) => (value == null ? "-" : value.toLocaleString("en"));

  function options(kind, width) {
    const told = kind === "throughput" ? number : seconds;
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const series = KINDS[kind].map(([label, , name]) => ({
      label,
      stroke: colour(name),
      width: 1.5,
      points: { show: kind !== "throughput", size: 4 },
      spanGaps: false,
      value: (_, value) => told(value),
    }));
    return {
      width,
      height: HEIGHT,
      cursor: { drag: { x: false, y: false } },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
      axes: [{ ...axis, space: 60, values: (_, values) => values.map((value) => time(value, long(values))) }, { ...axis, size: 58, values: (_, values) => values.map(told) }],
      series: [{ label: "at", value: (_, value) => (value == null ? "-" : time(value, true)) }, ...series],
    };
  }

  const long = (values) => values.length > 1 && values.at(-1) - values[0] > 26 * 3600;

  function draw(element, data) {
    const kind = element.dataset.plot;
    const columns = [data.at, ...KINDS[kind].map(([, name]) => data[name])];
    const old = drawn.get(element);
    if (old) {
      old.setData(columns);
      return;
    }
    drawn.set(element, new uPlot(options(kind, element.clientWidth), columns, element));
  }

  async function refresh(group) {
    try {
      const answer = await fetch(group.dataset.plots, { credentials: "same-origin", headers: { "HX-Request": "true" } });
      if (answer.ok && answer.status === 200) {
        const data = await answer.json();
        group.querySelectorAll("[data-plot]").forEach((element) => draw(element, data));
      }
    } catch {
      // the next tick may go well
    }
  }

  function refreshAll() {
    document.querySelectorAll("[data-plots]").forEach(refresh);
  }

  function again() {
    for (const [element, plot] of drawn) {
      plot.destroy();
      drawn.delete(element);
    }
    refreshAll();
  }

  let resized;
  addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(again, 200);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  let ticks = 0;
  document.body.addEventListener("tq:tick", () => {
    ticks += 1;
    if (ticks % 3 === 0) refreshAll();
  });
  refreshAll();
})();
