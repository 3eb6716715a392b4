// Charts: pointer or arrow keys move a highlight; the tip is built from the JSON beside the plot.
(() => {
  const one = (selector, within) => within.querySelector(selector);
  // text nodes only: names and labels come from users
  const make = (tag, attributes, ...kids) => {
    const node = document.createElement(tag);
    for (const name in attributes) node.setAttribute(name, attributes[name]);
    node.append(...kids);
    return node;
  };

  const known = new WeakSet();
  const read = (chart) => {
    if (known.has(chart)) return;
    known.add(chart);
    const data = JSON.parse(one("script", chart).textContent), plot = one(".plot", chart), tip = one(".tip", chart);
    const hot = one(".hot", chart), live = one(".sr[aria-live]", chart), count = data.x.length, total = data.t ?? [];
    let at = -1;
    const show = (wanted) => {
      at = Math.max(0, Math.min(count - 1, wanted));
      chart.dataset.on = "";
      const share = 100 / count, rows = data.s.filter((series) => series.v[at] != null && series.v[at] !== "");
      hot.style.left = `${at * share}%`;
      hot.style.width = `${share}%`;
      const head = make("h5", {}, make("span", {}, data.x[at]), total[at] ? make("span", {}, total[at]) : "");
      const lines = rows.map((series) => make("li", {}, make("span", { class: "key", style: `--k:${series.c}` }), series.n, make("b", {}, series.v[at])));
      tip.replaceChildren(head, make("ul", {}, ...lines));
      const width = plot.clientWidth, wide = tip.offsetWidth, x = (at + .5) / count * width;
      tip.style.translate = `${x + wide + 18 > width ? x - wide - 14 : x + 14}px 8px`;
      live.textContent = `${data.x[at]}: ${total[at] ? `${total[at]}. ` : ""}${rows.map((series) => `${series.n} ${series.v[at]}`).join(", ")}`;
    };
    const hide = () => delete chart.dataset.on;
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      show(Math.floor((event.clientX - box.left) / box.width * count));
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("focus", () => { if (plot.matches(":focus-visible")) show(at < 0 ? count - 1 : at); });
    plot.addEventListener("keydown", (event) => {
      const wanted = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: count - 1 }[event.key];
      if (wanted !== undefined) { event.preventDefault(); show(wanted); }
    });
  };
  const readAll = () => document.querySelectorAll(".chart[data-tips]").forEach(read);
  readAll();
  addEventListener("htmx:after:swap", readAll); // a chart may come later
})();
