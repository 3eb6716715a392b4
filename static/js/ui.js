// Small behaviours only. Every page works without this file, except what opens on a click: drawers, dialogs, palette.
(() => {
  const root = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // theme: the server remembers it (the form around the buttons posts); here it only changes at once
  const setTheme = (theme) => {
    if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
    all("[data-theme-set][aria-pressed]").forEach((b) => b.setAttribute("aria-pressed", b.dataset.themeSet === theme));
  };

  // sliders paint their own track and mirror their value
  const paint = (range) => {
    const low = range.min || 0, share = (range.value - low) / ((range.max || 100) - low);
    range.style.setProperty("--v", `${share * 100}%`);
    const output = range.id && one(`output[for="${range.id}"]`);
    if (output) output.value = range.value + (range.dataset.unit || "");
  };

  // tabs: arrow keys move, panels by aria-controls
  const select = (tab) => all("[role=tab]", tab.closest("[role=tablist]")).forEach((other) => {
    other.setAttribute("aria-selected", other === tab);
    other.tabIndex = other === tab ? 0 : -1;
    const panel = document.getElementById(other.getAttribute("aria-controls"));
    if (panel) panel.hidden = other !== tab;
  });

  const copy = async (button) => {
    const source = button.dataset.copy, text = source.startsWith("#") ? one(source)?.innerText ?? "" : source;
    await navigator.clipboard?.writeText(text.trim());
    const words = button.lastChild, before = words.textContent;
    if (words.nodeType === Node.TEXT_NODE) {
      words.textContent = button.dataset.done || before;
      setTimeout(() => words.textContent = before, 1400);
    }
    button.dispatchEvent(new CustomEvent("copied", { bubbles: true }));
  };

  const reveal = (button) => {
    const input = one(button.dataset.reveal), shown = input.type === "text", label = button.getAttribute("aria-label");
    input.type = shown ? "password" : "text";
    button.setAttribute("aria-pressed", !shown);
    button.setAttribute("aria-label", button.dataset.other);
    button.dataset.other = label;
  };

  const open = (dialog) => {
    one(":popover-open")?.hidePopover();
    if (dialog && !dialog.open) dialog.showModal();
  };

  addEventListener("click", (event) => {
    const hit = (selector) => event.target.closest(selector);
    let found;
    if ((found = hit("[data-theme-set]"))) {
      setTheme(found.dataset.themeSet);
      if (found.tagName === "A") { event.preventDefault(); one(`button[data-theme-set="${found.dataset.themeSet}"]`)?.click(); }
    }
    if ((found = hit("[data-open]"))) { event.preventDefault(); open(one(found.dataset.open)); }
    if ((found = hit("[data-close]"))) {
      if (found.tagName === "A") event.preventDefault(); // without scripts it leads back to the page
      found.closest("dialog")?.close();
    }
    if (event.target.tagName === "DIALOG" && event.target.open && !event.target.dataset.keeps) event.target.close();
    if ((found = hit("[data-copy]"))) copy(found);
    if ((found = hit("[data-reveal]"))) reveal(found);
    if ((found = hit("[data-dismiss]"))) found.closest(".toast, .banner").remove();
    if (hit("[data-print]")) { event.preventDefault(); print(); }
    if ((found = hit("[role=tab]"))) select(found);
  });
  addEventListener("input", (event) => { if (event.target.matches(".range")) paint(event.target); });
  addEventListener("keydown", (event) => {
    const tab = event.target.closest("[role=tab]"), step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!tab || !step) return;
    const tabs = all("[role=tab]", tab.closest("[role=tablist]"));
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    select(next);
    next.focus();
  });

  // toasts: errors stay, others leave after 6 s, held while pointed at or focused
  const leave = (toast) => {
    if ("stays" in toast.dataset || toast.dataset.timed) return;
    toast.dataset.timed = "1";
    const tick = () => toast.matches(":hover, :focus-within") ? setTimeout(tick, 1000) : toast.remove();
    setTimeout(tick, 6000);
  };
  const show = ({ title, detail = "", kind = "bad" }) => {
    const toast = one(`#toast-${kind}`).content.firstElementChild.cloneNode(true), words = document.createElement("p");
    one("b", toast).textContent = title;
    words.textContent = detail;
    if (detail) one("b", toast).after(words);
    one("#toasts").append(toast);
  };
  addEventListener("toast", (event) => show(event.detail));

  // what arrives later gets the same treatment as what was there
  const prepare = (within) => {
    all(".range", within).forEach(paint);
    all("input[data-indeterminate]", within).forEach((box) => box.indeterminate = true);
    one("[data-focus]", within)?.focus();
    if (/Mac|iP(hone|ad)/.test(navigator.platform)) {
      all("[data-mod]", within).forEach((key) => key.textContent = "⌘");
      all("[data-mod-k]", within).forEach((key) => key.textContent = "⌘K");
    }
  };
  const start = () => {
    prepare(document);
    const toasts = one("#toasts");
    all(".toast", toasts).forEach(leave);
    new MutationObserver(() => all(".toast", toasts).forEach(leave)).observe(toasts, { childList: true });
  };
  addEventListener("htmx:after:swap", (event) => prepare(event.detail.ctx?.target ?? document));
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start); else start();
})();
