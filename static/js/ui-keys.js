// The palette and the keyboard. Where a letter leads stands in the page (data-go), not here.
(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const palette = one("#palette"), field = palette && one("input", palette);

  const rows = () => all(".res a[role=option]", palette);
  const mark = (index) => rows().forEach((row, place) => {
    row.setAttribute("aria-selected", place === index);
    if (place !== index) return;
    row.scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", row.id);
  });
  if (palette) {
    palette.addEventListener("keydown", (event) => {
      const found = rows(), at = found.findIndex((row) => row.getAttribute("aria-selected") === "true");
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step && found.length) { event.preventDefault(); mark((at + step + found.length) % found.length); }
      if (event.key === "Enter" && found[at]) { event.preventDefault(); found[at].click(); }
    });
    palette.addEventListener("click", (event) => { if (event.target.closest("[role=option]")) palette.close(); });
    palette.addEventListener("htmx:after:swap", () => mark(0));
  }

  // lists: j and k move a cursor over the rows, Enter opens, x selects
  const list = () => all("main [data-row], main .tbl tbody tr:has(a)").filter((row) => row.offsetParent);
  const current = () => one("main [data-cursor]");
  const move = (step) => {
    const found = list(), at = found.indexOf(current()), next = found[Math.max(0, Math.min(found.length - 1, at + step))];
    if (!next) return;
    current()?.removeAttribute("data-cursor");
    next.setAttribute("data-cursor", "");
    const link = one("a", next);
    (link ?? next).focus();
    next.scrollIntoView({ block: "nearest" });
  };

  const single = {
    "/": () => one("[data-search]") ?? null,
    "?": () => one("#keys"),
    n: () => one("main [data-primary]") ?? one("main .head .btn.primary"),
    "[": () => one("[data-previous]"),
    "]": () => one("[data-next]"),
    x: () => current() && one("input[type=checkbox]", current()),
  };
  const press = (target) => {
    if (target.tagName === "DIALOG") { if (!target.open) target.showModal(); }
    else if (target.matches("input:not([type=checkbox])")) { target.focus(); target.select(); }
    else target.click();
  };

  let gone = 0; // when "g" was pressed
  addEventListener("keydown", (event) => {
    const mod = event.metaKey || event.ctrlKey, key = event.key;
    if (mod && key.toLowerCase() === "k" && palette) {
      event.preventDefault();
      if (palette.open) palette.close(); else { palette.showModal(); field.select(); }
      return;
    }
    if (mod && key === "Enter") { const form = event.target.closest("form"); if (form?.matches("[data-mod-enter]")) form.requestSubmit(); return; }
    if (mod && key.toLowerCase() === "s") { const save = one("[data-save]"); if (save) { event.preventDefault(); save.click(); } return; }
    if (mod || event.altKey || document.body.dataset.shortcuts === "off") return;
    if (event.target.closest("input, textarea, select, [contenteditable]") || one("dialog[open]")) return;
    if (Date.now() - gone < 900) {
      gone = 0;
      const place = one(`[data-go="${CSS.escape(key)}"]`);
      if (place) { event.preventDefault(); location.href = place.href; }
      return;
    }
    if (key === "g") { gone = Date.now(); return; }
    if (key === "j" || key === "k") { move(key === "j" ? 1 : -1); return; }
    if (key === "Escape") { current()?.removeAttribute("data-cursor"); return; }
    const target = single[key]?.();
    if (target) { event.preventDefault(); press(target); }
  });
})();
