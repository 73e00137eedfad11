"use strict";
// Reloads this page if the server has another version of it. Scroll position, filters and open details are kept.
(() => {
  const nav = document.querySelector("nav[data-version]");
  const status = nav.querySelector("[role=status]");
  const key = `hpsearch:${location.pathname}${location.search}`;
  const chips = () => [...document.querySelectorAll(".chip input")];
  const details = () => [...document.querySelectorAll("details")];
  const INTERVAL_MS = 3000;
  const MAX_DELAY_MS = 30000;

  const save = () => {
    const state = {
      top: scrollY,
      hidden: chips().filter((chip) => !chip.checked).map((chip) => chip.value),
      open: details().map((one) => one.open),
    };
    sessionStorage.setItem(key, JSON.stringify(state));
  };

  // Call this after the figures are drawn: only then does the filter listen. A browser may have restored some boxes.
  const restore = () => {
    const state = JSON.parse(sessionStorage.getItem(key) ?? "null");
    sessionStorage.removeItem(key);
    for (const chip of chips()) {
      chip.checked = true;
      if (state?.hidden.includes(chip.value)) chip.click();
    }
    if (state === null) return;
    details().forEach((one, i) => { one.open = state.open[i] ?? false; });
    scrollTo(0, state.top);
  };

  const whenDrawn = (then) => {
    const root = document.documentElement;
    if (!document.querySelector("[data-figure]") || root.dataset.drawn !== undefined) return then();
    new MutationObserver((_, observer) => {
      if (root.dataset.drawn === undefined) return;
      observer.disconnect();
      then();
    }).observe(root, { attributes: true });
  };

  // If the pointer is on a figure or text is selected, the reload waits, at most MAX_DELAY_MS.
  const isReading = () => document.querySelector(".plot:hover") !== null || String(getSelection()) !== "";

  let newSince = null;
  const check = async () => {
    if (document.hidden) return;
    const headers = { "If-None-Match": nav.dataset.version };
    const response = await fetch(location.href, { method: "HEAD", headers, cache: "no-store" });
    status.textContent = response.ok || response.status === 304 ? "" : `The server responds with status ${response.status}.`;
    if (!response.ok) return;
    newSince ??= Date.now();
    if (isReading() && Date.now() - newSince < MAX_DELAY_MS) {
      status.textContent = "New data: the page updates when your pointer leaves the figure and no text is selected.";
      return;
    }
    save();
    location.reload();
  };

  const checkEvery = (intervalMs) => setTimeout(async () => {
    try {
      await check();
    } catch {
      status.textContent = "The server does not respond.";
    }
    checkEvery(intervalMs);
  }, intervalMs);

  whenDrawn(() => {
    restore();
    // A page that takes long to load and to draw is checked less often.
    checkEvery(Math.max(INTERVAL_MS, 2 * performance.now()));
  });
})();
