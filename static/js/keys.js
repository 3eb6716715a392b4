// The secret of a key: its dialog opens when it comes, and closes only by "I have copied it". Finding in the picker.
(() => {
  const dialog = () => document.getElementById("secret");
  const kept = () => dialog()?.querySelector("[data-copied]");
  const may = (close) => { const button = kept(); if (button) button.disabled = !close; };

  addEventListener("htmx:after:swap", () => {
    if (!kept() || dialog().open) return;
    for (const other of document.querySelectorAll("dialog[open]")) other.close();
    may(false);
    dialog().showModal();
  });
  addEventListener("change", (event) => { if (event.target.matches("[data-stored]")) may(event.target.checked); });
  addEventListener("copied", (event) => {
    if (!dialog()?.contains(event.target)) return;
    if (navigator.clipboard) return may(true);
    // without a secure context nothing can be copied for them: it is marked, and the box is ticked by hand
    getSelection().selectAllChildren(document.querySelector(event.target.dataset.copy));
  });
  addEventListener("submit", (event) => {
    if (!event.target.contains(kept())) return;
    event.preventDefault(); // a form without fields would leave a question mark behind
    location.assign(event.target.action);
  });
  const stay = (event) => { if (kept() && dialog().open) event.preventDefault(); };
  addEventListener("cancel", stay, true);
  addEventListener("keydown", (event) => { if (event.key === "Escape") stay(event); }, true);

  addEventListener("input", (event) => {
    const list = event.target.dataset?.filter && document.querySelector(event.target.dataset.filter);
    if (!list) return;
    const wanted = event.target.value.trim().toLowerCase();
    for (const row of list.querySelectorAll("label")) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
})();
