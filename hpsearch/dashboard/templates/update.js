"use strict";
// Puts the server's newer version of this page in the place of the present one. Figures, the filter, open details, the
// scroll position and unsent entries are kept. Sends the forms of operations, and shows the server's sentences.
(() => {
  const status = document.querySelector("nav[data-version] [role=status]");
  const INTERVAL_MS = 3000;
  const MAX_DELAY_MS = 30000;
  const main = document.querySelector("main");
  const policyOf = (page) => page.querySelector("meta[http-equiv]").content;
  const all = (selector, root = main) => [...root.querySelectorAll(selector)];

  // The parts that keep their state are found again by these names.
  const nameOfDetails = (one) => `${one.closest("section")?.id} ${one.querySelector("summary").textContent}`;
  const nameOfEntry = (one) => `${one.form?.id} ${one.name}`;
  const entries = (root) => all("form[id] :is(input, select)", root);
  const isChanged = (one) =>
    one.matches("select") ? [...one.options].some((option) => option.selected !== option.defaultSelected)
      : one.type === "checkbox" ? one.checked !== one.defaultChecked : one.value !== one.defaultValue;

  const keepState = (newer) => {
    const open = new Map(all("details").map((one) => [nameOfDetails(one), one.open]));
    for (const one of all("details", newer)) one.open = open.get(nameOfDetails(one)) ?? one.open;
    const changed = new Map(entries(main).filter(isChanged).map((one) => [nameOfEntry(one), one]));
    for (const one of entries(newer)) {
      const before = changed.get(nameOfEntry(one));
      if (before !== undefined) Object.assign(one, { value: before.value, checked: before.checked });
    }
    const output = newer.querySelector("output");
    if (output !== null) output.textContent = main.querySelector("output")?.textContent ?? "";
  };

  const replace = (page) => {
    if (policyOf(page) !== policyOf(document)) return location.reload(); // it needs other scripts
    const newer = document.importNode(page.querySelector("main"), true);
    const top = scrollY;
    const focused = document.activeElement?.form?.id ? nameOfEntry(document.activeElement) : null;
    keepState(newer);
    const data = page.getElementById("report-data").textContent;
    document.dispatchEvent(new CustomEvent("hpsearch:replace", { detail: { newer, data } }));
    main.replaceChildren(...newer.childNodes);
    document.dispatchEvent(new CustomEvent("hpsearch:replaced"));
    if (focused !== null) entries(main).find((one) => nameOfEntry(one) === focused)?.focus({ preventScroll: true });
    scrollTo(0, top);
    const nav = document.querySelector("nav[data-version]");
    nav.dataset.version = page.querySelector("nav[data-version]").dataset.version;
    document.title = page.title;
    return undefined;
  };

  // A selection would be lost: the update waits for its end, at most MAX_DELAY_MS.
  let newSince = null;
  const check = async () => {
    if (document.hidden) return;
    const { version } = document.querySelector("nav[data-version]").dataset;
    const response = await fetch(location.href, { headers: { "If-None-Match": version }, cache: "no-store" });
    const isGood = response.ok || response.status === 304;
    status.textContent = isGood ? "" : `The server responds with status ${response.status}.`;
    if (!response.ok) return;
    newSince ??= Date.now();
    if (String(getSelection()) !== "" && Date.now() - newSince < MAX_DELAY_MS) {
      status.textContent = "New data: the page updates when no text is selected.";
      return;
    }
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (page.querySelector("nav[data-version]") === null) location.reload();
    else replace(page);
    newSince = null;
  };

  const checkNow = async () => {
    try {
      await check();
    } catch {
      status.textContent = "The server does not respond.";
    }
  };

  const send = async (form, button) => {
    const fields = new URLSearchParams(new FormData(form, button));
    const headers = { Accept: "application/json" };
    const response = await fetch(form.action, { method: "POST", body: fields, headers });
    const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
    const { sentence, page } = isJson ? await response.json() : { sentence: await response.text() };
    if (page) return location.assign(page);
    if (response.ok) form.reset();
    main.querySelector("output").textContent = sentence;
    return checkNow();
  };

  document.addEventListener("submit", async (event) => {
    if (!event.target.matches("form[data-operation]")) return;
    event.preventDefault();
    try {
      await send(event.target, event.submitter);
    } catch {
      main.querySelector("output").textContent = "The server does not respond: whether anything has changed is unknown.";
    }
  });

  const checkEvery = (intervalMs) => setTimeout(async () => {
    await checkNow();
    checkEvery(intervalMs);
  }, intervalMs);
  // A page that takes long to load is checked less often.
  addEventListener("load", () => checkEvery(Math.max(INTERVAL_MS, 2 * performance.now())));
})();
