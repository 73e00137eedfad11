"use strict";
// Runs Plotly's script, which this file has compressed. page.js waits for it.
const plotlyReady = (async () => {
  const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent), (one) => one.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);
})();
plotlyReady.catch(() => {
  const note = document.createElement("p");
  note.textContent = "The figures need a browser of 2023 or newer: Chrome 80, Firefox 113, Safari 16.4.";
  document.querySelector("main").prepend(note);
});
