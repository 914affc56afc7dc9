// Adds each new call to the table of the calls page as it is decided. Without this, reload the page.
(() => {
  "use strict";
  const live = document.getElementById("live");
  const body = document.getElementById("calls");
  const pause = document.getElementById("pause");
  if (!live || !body || !window.EventSource) return;
  const most = Number(live.dataset.most);
  let source = null;
  let lost = 0;

  const say = (words, on) => {
    live.textContent = words;
    live.classList.toggle("on", on);
  };

  const add = (event) => {
    const made = document.createElement("template");
    made.innerHTML = event.data; // made and escaped by the server, as the rows of the page are
    const row = made.content.querySelector("tr");
    if (!row) return;
    const none = body.querySelector(".none");
    if (none) none.remove();
    row.classList.add("new");
    body.prepend(row);
    while (body.rows.length > most) body.deleteRow(-1);
  };

  const start = () => {
    source = new EventSource(live.dataset.stream);
    source.addEventListener("open", () => {
      clearTimeout(lost);
      say("Calls appear as they are decided.", true);
    });
    source.addEventListener("error", () => {
      // Every stream ends after a while, and the next begins at once.
      clearTimeout(lost);
      lost = setTimeout(() => say("Not connected. Reload the page.", false), 5000);
    });
    source.addEventListener("call", add);
  };

  const stop = () => {
    source.close();
    source = null;
    clearTimeout(lost);
    say("Paused.", false);
  };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    if (source) stop();
    else start();
    const paused = source === null;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
  });
  window.addEventListener("pagehide", () => source && source.close());
  start();
})();
