// The table of providers stays alive while somebody looks: it is asked for again, and says how old it is.
(() => {
  const EVERY = 10;
  const one = (selector, within = document) => within.querySelector(selector);
  const updated = one("#updated");
  let age = 0, cursor = "";

  const busy = () => document.hidden || one("dialog[open], :popover-open");
  setInterval(() => {
    age += 1;
    if (updated) updated.textContent = updated.dataset.words.replace("%s", age);
    if (age >= EVERY && age % EVERY === 0 && !busy()) htmx.trigger(document.body, "fleet-tick");
  }, 1000);

  addEventListener("htmx:before:swap", () => cursor = one("main [data-cursor]")?.id ?? "");
  addEventListener("htmx:after:swap", (event) => {
    const target = event.detail.ctx?.target ?? event.target;
    if (target?.id === "prov-table" || one("#prov-table")?.contains(target)) age = 0;
    if (cursor) document.getElementById(cursor)?.setAttribute("data-cursor", "");
    const stop = one("#stop");
    if (stop && !stop.open && one("#stop form")) stop.showModal();
  });
  one("#stop")?.addEventListener("close", (event) => event.target.replaceChildren());

  // a menu has done its work once something in it was chosen
  addEventListener("click", (event) => event.target.closest(".menu .item")?.closest(":popover-open")?.hidePopover());

  // t tests the row that the cursor or the focus is on, e turns it on or off
  const act = { t: "[data-test]", e: "[data-switch]" };
  addEventListener("keydown", (event) => {
    if (!act[event.key] || event.metaKey || event.ctrlKey || event.altKey || document.body.dataset.shortcuts === "off") return;
    if (event.target.closest("input, textarea, select, [contenteditable]") || one("dialog[open]")) return;
    const row = one("main [data-cursor]") ?? document.activeElement.closest("main [data-row]");
    const button = row && one(act[event.key], row);
    if (!button) return;
    event.preventDefault();
    button.click();
  });
})();
