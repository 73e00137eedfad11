"use strict";
// Unpacks the drawings and runs Plotly's script, which this file has compressed. page.js waits for both.
const unpacked = (packed) => {
  const bytes = Uint8Array.from(atob(packed.textContent), (one) => one.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
};
const plotlyReady = (async () => {
  const data = document.getElementById("report-data");
  data.textContent = await unpacked(data);
  const script = document.createElement("script");
  script.textContent = await unpacked(document.getElementById("plotly"));
  document.head.append(script);
})();
plotlyReady.catch(() => {
  const note = document.createElement("p");
  note.textContent = "The figures need a browser of 2023 or newer: Chrome 80, Firefox 113, Safari 16.4.";
  document.querySelector("main").prepend(note);
});
