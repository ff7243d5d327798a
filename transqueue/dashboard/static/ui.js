// Live refresh, open details that stay open, and copying. Everything else works without this file.
"use strict";

(() => {
  const SECONDS = 5;
  const KEPT = "transqueue.live";
  const control = document.getElementById("live-switch");

  function kept() {
    try {
      return localStorage.getItem(KEPT) !== "off";
    } catch {
      return true;
    }
  }

  function keep(live) {
    try {
      localStorage.setItem(KEPT, live ? "on" : "off");
    } catch {
      // a browser that keeps nothing: live until the page is left
    }
  }

  let live = kept();

  function show() {
    if (control) {
      control.hidden = !document.querySelector("[hx-trigger], [data-plots]");
      control.setAttribute("aria-pressed", String(live));
      control.title = live ? `Refreshes every ${SECONDS} seconds` : "Stands still";
    }
  }

  function tick() {
    if (live && document.visibilityState === "visible" && !busy()) {
      document.body.dispatchEvent(new CustomEvent("tq:tick"));
    }
  }

  // Nothing moves under somebody who selects text in what would be replaced.
  function busy() {
    const selection = document.getSelection();
    const within = selection && !selection.isCollapsed && selection.anchorNode;
    const element = within && (within.nodeType === 1 ? within : within.parentElement);
    return Boolean(element && element.closest("[hx-trigger]"));
  }

  if (control) {
    control.addEventListener("click", () => {
      live = !live;
      keep(live);
      show();
      tick();
    });
  }
  document.addEventListener("visibilitychange", tick);
  setInterval(tick, SECONDS * 1000);
  show();

  let open = [];
  let scrolled = new Map();
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    open = [...event.target.querySelectorAll("details[open][id]")].map((one) => one.id);
    scrolled = new Map([...event.target.querySelectorAll("[aria-label].scroll")].map((one) => [one.ariaLabel, one.scrollLeft]));
  });
  document.body.addEventListener("htmx:afterSwap", () => {
    for (const id of open) {
      document.getElementById(id)?.setAttribute("open", "");
    }
    for (const one of document.querySelectorAll("[aria-label].scroll")) {
      one.scrollLeft = scrolled.get(one.ariaLabel) ?? one.scrollLeft;
    }
  });

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button, document.getElementById(button.dataset.copy)));
  }

  async function copy(button, source) {
    const text = source.textContent.trim();
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // plain http from another machine: the browser has no clipboard for us, so it is selected to be copied by hand
      document.getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => (button.textContent = said), 2500);
  }
})();
