"use strict";
// Draws the figures of this file, in the colours that the reader prefers, and filters them all by fate.
(() => {
  const { figures, texts, dark } = JSON.parse(document.getElementById("report-data").textContent);
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isTouch = matchMedia("(pointer: coarse)").matches;
  const hidden = new Set();
  const hiddenTrials = new Set();
  let isPrinting = false;

  const PRINT_WIDTH = 660;
  const LONG_LISTS = new Set(["x", "y", "hovertext", "text", "z", "customdata", "tickvals", "ticktext"]);
  const CONFIG = {
    displaylogo: false,
    displayModeBar: isTouch ? false : "hover",
    // These buttons and no others: one of Plotly's own sends the figure to its makers.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    plotlyServerURL: "",
    responsive: true,
    showSendToCloud: false,
    showTips: false,
  };

  // Plotly writes into what it is given, so it gets a copy; the lists of numbers it leaves alone.
  const painted = (value, colours) => {
    if (typeof value === "string") return colours[value] ?? value;
    if (Array.isArray(value)) return value.map((item) => painted(item, colours));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, LONG_LISTS.has(key) ? item : painted(item, colours)]),
    );
  };

  const isShown = ({ fate, trial }) => !hidden.has(fate) && !hiddenTrials.has(String(trial));

  const draw = (place) => {
    const { data, layout } = figures[place.dataset.figure];
    const colours = prefersDark.matches && !isPrinting ? dark : {};
    const traces = painted(data, colours).map((trace) => ({
      ...trace,
      hovertext: trace.hovertext?.map((number) => texts[number]),
      visible: isShown(trace.meta ?? {}),
    }));
    const size = isPrinting ? { width: PRINT_WIDTH, autosize: false } : { autosize: true };
    const frame = { ...painted(layout, colours), ...size, showlegend: false, dragmode: isTouch ? false : "zoom" };
    return Plotly.react(place, traces, frame, CONFIG);
  };

  const places = [...document.querySelectorAll("[data-figure]")];
  const drawAll = () => Promise.all(places.map(draw));
  const pause = () => new Promise((next) => setTimeout(next));

  // Ticks at powers of ten say nothing about less than a decade.
  const refineTicks = (place) => () => {
    const changes = {};
    for (const name of ["xaxis", "yaxis"]) {
      const axis = place.layout[name];
      if (axis.type !== "log") continue;
      const mode = axis.range[1] - axis.range[0] < 2 ? "auto" : "array";
      if (axis.tickmode !== mode) changes[`${name}.tickmode`] = mode;
    }
    if (Object.keys(changes).length > 0) Plotly.relayout(place, changes);
  };

  let latestTurn = 0;
  const filterBy = (left) => async (event) => {
    const { value, checked } = event.target;
    if (checked) left.delete(value);
    else left.add(value);
    for (const row of document.querySelectorAll("tr[data-fate]")) row.hidden = hidden.has(row.dataset.fate);
    for (const cell of document.querySelectorAll("[data-trial]")) cell.hidden = !isShown(cell.dataset);
    latestTurn += 1;
    const turn = latestTurn;
    for (const place of places) {
      await Plotly.restyle(place, { visible: place.data.map((trace) => isShown(trace.meta ?? {})) });
      await pause();
      if (turn !== latestTurn) return; // a later click knows more
    }
  };

  // The clipboard may be closed to a file; a selection is not.
  const copy = async (event) => {
    const { currentTarget } = event; // gone after the first wait
    const code = currentTarget.parentElement.querySelector("code");
    const label = currentTarget.textContent;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    currentTarget.textContent = "Copied";
    setTimeout(() => { currentTarget.textContent = label; }, 1500);
  };

  const print = (starts) => () => {
    isPrinting = starts;
    drawAll();
  };

  const start = async () => {
    for (const place of places) {
      await draw(place);
      place.on("plotly_relayout", refineTicks(place));
      await pause();
    }
    document.querySelector(".filter")?.addEventListener("change", filterBy(hidden));
    document.querySelector(".chooser")?.addEventListener("change", filterBy(hiddenTrials));
    for (const button of document.querySelectorAll(".copy")) {
      button.hidden = false;
      button.addEventListener("click", copy);
    }
    prefersDark.addEventListener("change", drawAll);
    addEventListener("beforeprint", print(true));
    addEventListener("afterprint", print(false));
    document.documentElement.dataset.drawn = String(places.length);
  };
  start();
})();
