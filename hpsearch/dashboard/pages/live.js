"use strict";
// Reloads this page when the server has another version of it, and keeps where the reader is and what is filtered.
(() => {
  const nav = document.querySelector("nav[data-version]");
  const status = nav.querySelector("[role=status]");
  const key = `hpsearch:${location.pathname}${location.search}`;
  const chips = () => [...document.querySelectorAll(".chip input")];
  const details = () => [...document.querySelectorAll("details")];
  const EVERY_MS = 3000;
  const PATIENCE_MS = 30000;

  const remember = () => {
    const state = {
      top: scrollY,
      hidden: chips().filter((chip) => !chip.checked).map((chip) => chip.value),
      open: details().map((one) => one.open),
    };
    sessionStorage.setItem(key, JSON.stringify(state));
  };

  // The filter's listener is there when the figures are; a browser may have restored some boxes by itself.
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

  // A figure under the pointer and selected text are being read: they stay for a while.
  const isReading = () => document.querySelector(".plot:hover") !== null || String(getSelection()) !== "";

  let newSince = null;
  const look = async () => {
    if (document.hidden) return;
    const headers = { "If-None-Match": nav.dataset.version };
    const answer = await fetch(location.href, { method: "HEAD", headers, cache: "no-store" });
    status.textContent = answer.ok || answer.status === 304 ? "" : `The server answers ${answer.status}.`;
    if (!answer.ok) return;
    newSince ??= Date.now();
    if (isReading() && Date.now() - newSince < PATIENCE_MS) {
      status.textContent = "There is something new: it comes when you look elsewhere.";
      return;
    }
    remember();
    location.reload();
  };

  const watch = (everyMs) => setTimeout(async () => {
    try {
      await look();
    } catch {
      status.textContent = "The server does not answer.";
    }
    watch(everyMs);
  }, everyMs);

  whenDrawn(() => {
    restore();
    // A page that takes long to make and to draw is asked for less often.
    watch(Math.max(EVERY_MS, 2 * performance.now()));
  });
})();
