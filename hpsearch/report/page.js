"use strict";
// Draws the figures of this file, in the colours that the reader prefers, and filters them all by fate.
(() => {
  let figures, texts, dark; // `start` reads them
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isTouch = matchMedia("(pointer: coarse)").matches;
  const hidden = new Set();
  const hiddenTrials = new Set();
  let isPrinting = false;

  const PRINT_WIDTH = 660;
  const SMALL_PRINT_WIDTH = 215;
  const LONG_LISTS = new Set(["x", "y", "hovertext", "text", "z", "customdata", "tickvals", "ticktext"]);
  const CONFIG = {
    displaylogo: false,
    displayModeBar: isTouch ? false : "hover",
    // Only these buttons: one of Plotly's own would send the figure to a server.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    plotlyServerURL: "",
    responsive: true,
    showSendToCloud: false,
    showTips: false,
  };

  // Plotly changes its input, so it gets a copy, except of long lists, which it does not change.
  const painted = (value, colours) => {
    if (typeof value === "string") return colours[value] ?? value;
    if (Array.isArray(value)) return value.map((item) => painted(item, colours));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, LONG_LISTS.has(key) ? item : painted(item, colours)]),
    );
  };

  const isShown = ({ fate, trial }) => !hidden.has(fate) && !hiddenTrials.has(String(trial));
  const worded = (numbers) => numbers.map((number) => (Array.isArray(number) ? worded(number) : texts[number]));

  const draw = (place) => {
    const { data, layout } = figures[place.dataset.figure];
    const colours = prefersDark.matches && !isPrinting ? dark : {};
    const traces = painted(data, colours).map((trace) => ({
      ...trace,
      hovertext: trace.hovertext && worded(trace.hovertext),
      visible: isShown(trace.meta ?? {}),
    }));
    const isSmall = place.closest(".small") !== null;
    const paper = { width: isSmall ? SMALL_PRINT_WIDTH : PRINT_WIDTH, autosize: false };
    const size = isPrinting ? paper : { autosize: true };
    const frame = {
      ...painted(layout, colours),
      ...size,
      showlegend: false,
      dragmode: isTouch ? false : "zoom",
      uirevision: true, // newer data keeps the reader's zoom
    };
    return Plotly.react(place, traces, frame, isSmall ? { ...CONFIG, displayModeBar: false } : CONFIG);
  };

  let places = [...document.querySelectorAll("[data-figure]")];
  const drawn = new Set();
  const pause = () => new Promise((next) => setTimeout(next));

  // Ticks at powers of ten are useless for less than a decade.
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

  const filterTables = () => {
    for (const row of document.querySelectorAll("tr[data-fate]")) row.hidden = hidden.has(row.dataset.fate);
    for (const cell of document.querySelectorAll("[data-trial]")) cell.hidden = !isShown(cell.dataset);
  };

  let latestTurn = 0;
  const filter = async ({ target }) => {
    const left = target.closest(".filter") ? hidden : target.closest(".chooser") ? hiddenTrials : null;
    if (left === null) return;
    if (target.checked) left.delete(target.value);
    else left.add(target.value);
    filterTables();
    latestTurn += 1;
    const turn = latestTurn;
    for (const place of drawn) {
      await Plotly.restyle(place, { visible: place.data.map((trace) => isShown(trace.meta ?? {})) });
      await pause();
      if (turn !== latestTurn) return; // a later click replaces this one
    }
  };

  // A page from a file may have no access to the clipboard; a selection always works.
  const copy = async ({ target }) => {
    if (!target.matches(".copy")) return;
    const code = target.parentElement.querySelector("code");
    const label = target.textContent;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    target.textContent = "Copied";
    setTimeout(() => { target.textContent = label; }, 1500);
  };

  // On a server each trial has a page, which a click on the trial in a figure opens.
  const trials = document.querySelector("nav[data-trials]")?.dataset.trials;
  const openTrial = ({ points, event }) => {
    const number = /^trial (\d+)\b/m.exec(String(points[0]?.hovertext ?? "").replaceAll("<br>", "\n"))?.[1];
    if (number === undefined) return;
    if (event?.ctrlKey || event?.metaKey) open(trials + number, "_blank", "noopener");
    else location.assign(trials + number);
  };

  const drawFirst = (place) => {
    if (drawn.has(place) || !place.isConnected) return undefined;
    drawn.add(place);
    const done = draw(place);
    place.on("plotly_relayout", refineTicks(place));
    if (trials !== undefined) place.on("plotly_click", openTrial);
    return done;
  };

  // Figures near the viewport are drawn first, the rest when the browser is idle, so a large study opens fast.
  const near = [];
  const next = () => near.shift() ?? places.find((place) => !drawn.has(place));
  const idle = () =>
    new Promise((go) => (window.requestIdleCallback ? requestIdleCallback(go, { timeout: 300 }) : setTimeout(go, 30)));
  let isDrawing = false;
  const drawOn = async () => {
    if (isDrawing) return;
    isDrawing = true;
    for (let place = next(); place; place = next()) {
      await drawFirst(place);
      await pause();
      if (near.length > 0) continue;
      document.documentElement.dataset.opened ??= String(Math.round(performance.now()));
      await idle();
    }
    isDrawing = false;
    document.documentElement.dataset.drawn = String(drawn.size);
  };
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
        watcher.unobserve(target);
        near.push(target);
      }
      drawOn();
    },
    { rootMargin: "200px" },
  );

  const redraw = () => drawn.forEach(draw);
  let closed = [];
  const print = (starts) => () => {
    isPrinting = starts;
    if (starts) closed = [...document.querySelectorAll("details:not([open])")]; // nothing can be unfolded on paper
    for (const one of closed) one.open = starts;
    redraw();
    if (starts) places.forEach(drawFirst); // nothing can be scrolled into view on paper
  };

  const showCopyButtons = () => {
    for (const button of document.querySelectorAll(".copy")) button.hidden = false;
  };

  // The script of a server's page puts newer contents in the place of the present ones. A figure that both have moves
  // there as it is, and is drawn again with the newer data.
  const replace = ({ detail: { newer, data } }) => {
    ({ figures, texts, dark } = JSON.parse(data));
    const present = new Map(places.map((place) => [place.dataset.figure, place]));
    for (const place of newer.querySelectorAll("[data-figure]")) {
      const kept = present.get(place.dataset.figure);
      if (kept === undefined) continue;
      kept.setAttribute("aria-label", place.getAttribute("aria-label"));
      kept.style.minHeight = place.style.minHeight;
      place.replaceWith(kept);
    }
    places = [...newer.querySelectorAll("[data-figure]")];
    for (const place of [...drawn].filter((one) => !places.includes(one))) {
      drawn.delete(place);
      Plotly.purge(place);
    }
    for (const chip of newer.querySelectorAll(".filter input")) chip.checked = !hidden.has(chip.value);
    for (const chip of newer.querySelectorAll(".chooser input")) chip.checked = !hiddenTrials.has(chip.value);
  };
  const replaced = () => {
    filterTables();
    showCopyButtons();
    redraw();
    for (const place of places) if (!drawn.has(place)) watcher.observe(place);
    drawOn();
  };

  const start = () => {
    ({ figures, texts, dark } = JSON.parse(document.getElementById("report-data").textContent));
    for (const chip of document.querySelectorAll(".chip input")) chip.checked = true; // a browser may restore others
    document.addEventListener("change", filter);
    document.addEventListener("click", copy);
    document.addEventListener("hpsearch:replace", replace);
    document.addEventListener("hpsearch:replaced", replaced);
    showCopyButtons();
    prefersDark.addEventListener("change", redraw);
    addEventListener("beforeprint", print(true));
    addEventListener("afterprint", print(false));
    for (const place of places) watcher.observe(place);
    setTimeout(drawOn, 300); // in a hidden tab nothing intersects the viewport
  };
  // A page from a server has Plotly already.
  if (typeof plotlyReady === "undefined") start();
  else plotlyReady.then(start);
})();
