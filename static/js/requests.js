// The range over the histogram, rows that arrived meanwhile, and going from one request to the next in the drawer.
(() => {
  const EVERY = 15;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // new rows are looked for while somebody looks, and announced; the list itself stays as it is
  setInterval(() => {
    if (!document.hidden && one("#req-new")) htmx.trigger(document.body, "req-tick");
  }, EVERY * 1000);

  // -- the range: two handles, a drag over the bars, or typed times; the fields are what counts
  const since = () => one("#since"), until = () => one("#until");
  const layer = () => one(".brushing");
  const edges = () => layer().dataset.edges.split(" ");
  const bars = () => Number(layer().dataset.bars);
  const handle = (which) => one(`[data-handle=${which}]`, layer());
  const value = (which) => Number(handle(which).getAttribute("aria-valuenow"));

  const draw = (low, high) => {
    const whole = low <= 0 && high >= bars(), brush = one(".brush", layer());
    for (const [which, at] of [["low", low], ["high", high]]) {
      const each = handle(which);
      each.style.setProperty("--at", `${at / bars() * 100}%`);
      each.setAttribute("aria-valuenow", at);
      each.setAttribute("aria-valuetext", edges()[Math.round(at)].slice(11));
    }
    brush.style.setProperty("--lo", `${low / bars() * 100}%`);
    brush.style.setProperty("--hi", `${high / bars() * 100}%`);
    brush.hidden = whole;
  };
  const place = (text, otherwise) => {
    if (!text) return otherwise;
    const times = edges(), after = times.findIndex((edge) => edge >= text);
    return after < 0 ? bars() : text < times[0] ? 0 : after;
  };
  const follow = () => { // what was typed
    if (!layer()) return;
    let low = place(since().value, 0), high = place(until().value, bars());
    if (low >= high) [low, high] = [0, bars()];
    draw(low, high);
    one("#req-clear").hidden = !since().value && !until().value;
  };
  let due;
  const choose = (low, high, wait = 0) => {
    draw(low, high);
    since().value = low > 0 ? edges()[low] : "";
    until().value = high < bars() ? edges()[high] : "";
    one("#req-clear").hidden = !since().value && !until().value;
    clearTimeout(due);
    due = setTimeout(() => htmx.trigger(since(), "change"), wait);
  };

  addEventListener("keydown", (event) => {
    const which = event.target.dataset?.handle;
    if (!which) return;
    const low = Math.floor(value("low")), high = Math.ceil(value("high")), at = which === "low" ? low : high;
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -4, PageUp: 4 }[event.key];
    const wanted = step ? at + step : { Home: 0, End: bars() }[event.key];
    if (wanted === undefined) return;
    event.preventDefault();
    if (which === "low") choose(Math.max(0, Math.min(wanted, high - 1)), high, 400);
    else choose(low, Math.min(bars(), Math.max(wanted, low + 1)), 400);
  });

  let drag = null;
  const under = (event) => {
    const box = layer().getBoundingClientRect();
    return Math.max(0, Math.min(bars(), (event.clientX - box.left) / box.width * bars()));
  };
  addEventListener("pointerdown", (event) => {
    const which = event.target.dataset?.handle, plot = event.target.closest?.("#req-bars .plot");
    if (!layer() || event.button || (!which && !(plot && event.pointerType === "mouse"))) return;
    event.preventDefault();
    if (which) handle(which).focus();
    drag = { which, from: Math.floor(under(event)), low: Math.floor(value("low")), high: Math.ceil(value("high")) };
  });
  const dragged = (event) => {
    const at = under(event), { which, from, low, high } = drag;
    if (which === "low") return [Math.max(0, Math.min(Math.round(at), high - 1)), high];
    if (which === "high") return [low, Math.min(bars(), Math.max(Math.round(at), low + 1))];
    return [Math.min(from, Math.floor(at)), Math.min(bars(), Math.max(from + 1, Math.ceil(at)))];
  };
  addEventListener("pointermove", (event) => { if (drag) draw(...dragged(event)); });
  addEventListener("pointerup", (event) => {
    if (!drag) return;
    const range = dragged(event);
    drag = null;
    choose(...range);
  });
  addEventListener("pointercancel", () => { if (drag) { drag = null; follow(); } });
  addEventListener("change", (event) => { if (event.target.matches("#since, #until")) follow(); });
  addEventListener("click", (event) => {
    if (!event.target.closest("#req-clear")) return;
    since().value = until().value = "";
    follow();
  });

  // -- the drawer: one row up or down, and which row it is about
  const mark = () => {
    const id = one("#req[open] [data-of]")?.dataset.of;
    all("#req-rows [aria-selected]").forEach((row) => row.removeAttribute("aria-selected"));
    if (id) document.getElementById(id)?.setAttribute("aria-selected", "true");
  };
  addEventListener("click", (event) => {
    const step = event.target.closest("#req [data-step]");
    if (!step) return;
    const rows = all("#req-rows [data-row]"), id = one("#req [data-of]").dataset.of;
    const next = rows[rows.findIndex((row) => row.id === id) + Number(step.dataset.step)];
    if (next && rows.some((row) => row.id === id)) one("a", next).click();
  });
  addEventListener("htmx:after:swap", mark);
  one("#req")?.addEventListener("close", mark);
})();
