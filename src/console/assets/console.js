"use strict";
// Follows one event stream and replaces marked parts. What a person has open or is at stays as it is.
(() => {
  const root = document.body.dataset.root;
  const bar = document.querySelector("[data-live]");
  const parts = document.querySelectorAll("[data-part], [data-job]");
  if (!bar || parts.length === 0 || !window.EventSource) return;
  const text = bar.querySelector("[data-live-state]");
  const button = bar.querySelector("button");
  let stream = null;
  let paused = false;

  const show = (message) => { text.textContent = message; };

  const busy = (part) => part.querySelector("form, details[open]") || part.contains(document.activeElement);

  // What else the page says may be old from now on.
  const changed = () => {
    const note = document.querySelector("[data-changed]");
    if (note) note.hidden = false;
  };

  const update = (event) => {
    const { parts, jobs } = JSON.parse(event.data);
    for (const [name, markup] of Object.entries(parts)) {
      const part = document.querySelector(`[data-part="${name}"]`);
      if (!part || busy(part) || part.innerHTML === markup) continue;
      part.innerHTML = markup;
      changed();
    }
    for (const cell of document.querySelectorAll("[data-job]")) {
      const state = jobs[cell.dataset.job];
      if (!state || state === cell.textContent) continue;
      cell.textContent = state;
      cell.className = `state state-${state}`;
      changed();
    }
    show(`Live, ${new Date().toISOString().slice(11, 19)} UTC`);
  };

  const close = () => { if (stream) stream.close(); stream = null; };
  const open = () => {
    if (stream || paused || document.hidden) return;
    const names = (name) => [...document.querySelectorAll(`[data-${name}]`)].map((cell) => `${name}=${cell.dataset[name]}`);
    const followed = new Set([...names("part"), ...names("job")]);
    stream = new EventSource(`${root}events?${[...followed].join("&")}`);
    stream.onmessage = update;
    stream.addEventListener("problem", (event) => show(event.data));
    stream.onerror = () => show("Not live: trying again");
  };

  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Follow" : "Pause";
    button.setAttribute("aria-pressed", String(paused));
    if (paused) { close(); show("Paused"); } else { open(); }
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  bar.hidden = false;
  open();
})();
