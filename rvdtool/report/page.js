"use strict";
addEventListener("load", async () => {
  const element = (name) => document.getElementById(name);

  const plots = JSON.parse(element("plots").textContent);
  const drawn = await Promise.all(
    plots.map((plot, index) => Bokeh.embed.embed_item(plot, `chart-${index}`)));
  const charts = drawn.flatMap((views) => views.roots.map((view) => view.model))
    .filter((model) => model.type === "Figure");

  // The charts take the page's colours, also when the reader changes from light to dark.
  function colour() {
    const style = getComputedStyle(document.documentElement);
    const [ink, edge] = ["--ink", "--edge"].map((name) => style.getPropertyValue(name).trim());
    for (const chart of charts) {
      for (const axis of [...chart.below, ...chart.left]) {
        axis.axis_label_text_color = axis.major_label_text_color = ink;
        axis.axis_line_color = axis.major_tick_line_color = ink;
        axis.minor_tick_line_color = edge;
      }
      for (const legend of chart.above) legend.label_text_color = ink;
      for (const grid of chart.center) {
        if (grid.type === "Grid") grid.grid_line_color = edge;
      }
    }
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colour);
  colour();

  document.body.dataset.drawn = "";
  const data = element("pictures");
  if (!data) return;
  const { frames, labels, series, rate, start, width } = JSON.parse(data.textContent);
  const names = Object.keys(series);
  const controls = {};
  for (const name of ["left", "right", "zoom", "split", "frame", "play", "number", "label"]) {
    controls[name] = element(name);
  }
  const stage = element("stage");
  const marks = charts.flatMap((chart) => chart.center).filter((one) => one.name === "frame");
  let at = start;
  let timer = 0;

  function nearest(frame) {
    let best = 0;
    frames.forEach((one, index) => {
      if (Math.abs(one - frame) < Math.abs(frames[best] - frame)) best = index;
    });
    return best;
  }
  function show() {
    for (const side of ["left", "right"]) {
      const name = controls[side].value;
      const picture = element(side + "-picture");
      picture.src = series[name][at];
      picture.alt = `${name}, frame ${frames[at]}, at the ${side} of the split`;
    }
    controls.frame.value = at;
    controls.frame.setAttribute("aria-valuetext", `frame ${frames[at]}`);
    if (document.activeElement !== controls.number) controls.number.value = frames[at];
    controls.label.textContent = labels[at];
    for (const mark of marks) mark.location = frames[at];
  }
  function go(index) {
    at = Math.min(Math.max(index, 0), frames.length - 1);
    show();
  }
  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => go((at + 1) % frames.length), 1000 / rate) : 0;
    controls.play.textContent = on ? "Pause" : "Play";
    controls.play.setAttribute("aria-pressed", String(on));
    controls.label.setAttribute("aria-live", on ? "off" : "polite");
  }
  function split() {
    stage.style.setProperty("--split", controls.split.value + "%");
  }
  function zoom() {
    const factor = Number(controls.zoom.value);
    stage.classList.toggle("zoomed", factor > 0);
    stage.style.width = factor ? `${width * factor}px` : "";
  }
  function step(control, by) {
    control.selectedIndex = Math.min(
      Math.max(control.selectedIndex + by, 0), control.options.length - 1);
    zoom();
  }

  controls.left.addEventListener("change", show);
  controls.right.addEventListener("change", show);
  controls.zoom.addEventListener("change", zoom);
  controls.split.addEventListener("input", split);
  controls.frame.addEventListener("input", () => go(Number(controls.frame.value)));
  controls.number.addEventListener("change", () => go(nearest(Number(controls.number.value))));
  controls.play.addEventListener("click", () => play(!timer));
  document.addEventListener("frame", (event) => go(nearest(event.detail)));

  const keys = {
    ArrowLeft: () => go(at - 1),
    ArrowRight: () => go(at + 1),
    Home: () => go(0),
    End: () => go(frames.length - 1),
    " ": () => play(!timer),
    "[": () => { controls.split.value -= 5; split(); },
    "]": () => { controls.split.value = Number(controls.split.value) + 5; split(); },
    "+": () => step(controls.zoom, 1),
    "=": () => step(controls.zoom, 1),
    "-": () => step(controls.zoom, -1),
  };
  names.slice(0, 9).forEach((name, index) => {
    keys[String(index + 1)] = () => { controls.right.value = name; show(); };
  });
  document.addEventListener("keydown", (event) => {
    // Controls, links and the zoomed picture have their own use for keys.
    const own = event.target.closest("input, select, button, summary, a");
    const scrolls = stage.classList.contains("zoomed") && event.target.id === "scroll";
    if (own || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    if (scrolls && /^(Arrow|Home|End)/.test(event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
  split();
  show();
});
