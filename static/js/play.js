// The composer's keys, forms that go through the socket when it is open, drafts, copying. Without it forms still post.
(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const form = one("#composer"), box = one("#say"), model = one("#model"), saved = "relayhouse:draft";
  const newDraft = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

  // a form becomes a message of the same name; its fields are the message's
  const sent = new Map(); // draft -> the text that was sent, so that it can be taken out of the composer, or put back
  addEventListener("submit", (event) => {
    const it = event.target, action = it.dataset?.action, fields = it.elements;
    if (!action) return;
    if (fields.draft_id) fields.draft_id.value = newDraft();
    const message = { action, ...Object.fromEntries(new FormData(it)) };
    delete message.csrfmiddlewaretoken;
    if (action === "send" && !message.text.trim()) { event.preventDefault(); return; }
    if (action !== "stop" && model) message.model = model.value;
    if (it === form && !one("#thread")) sessionStorage.removeItem(saved);
    if (!window.room?.open()) return; // the page is asked for instead
    event.preventDefault();
    if (action === "stop") room.freeze(message.run);
    if (action === "send") { sent.set(message.draft_id, message.text); fill(""); }
    if (action === "edit") one("[data-fold]", it)?.click();
    room.send(message);
  });
  addEventListener("draft:sent", ({ detail }) => sent.delete(detail.draft_id));
  addEventListener("draft:refused", ({ detail }) => {
    if (box && !box.value && sent.has(detail.draft_id)) fill(sent.get(detail.draft_id));
    sent.delete(detail.draft_id);
  });

  const grows = CSS.supports("field-sizing", "content");
  const fit = () => { if (!grows && box) { box.style.blockSize = "auto"; box.style.blockSize = `${box.scrollHeight}px`; } };
  const fill = (text) => { box.value = text; fit(); };
  if (box) {
    box.addEventListener("input", fit);
    if (!one("#thread")) { // a room that does not exist yet keeps its draft in this tab
      if (sessionStorage.getItem(saved) && !location.search) fill(sessionStorage.getItem(saved));
      box.addEventListener("input", () => sessionStorage.setItem(saved, box.value));
    }
    fit();
    box.setSelectionRange(box.value.length, box.value.length);
  }

  // enter, escape, arrow up, copy the last answer
  addEventListener("keydown", (event) => {
    const mod = event.metaKey || event.ctrlKey, text = event.target.closest?.("form.composer textarea");
    if (event.isComposing) return;
    if (event.key === "Enter" && text && !event.shiftKey && !event.altKey && !mod && form?.dataset.enter === "send") {
      event.preventDefault();
      text.form.requestSubmit();
    }
    if (event.key === "Enter" && mod && text && text !== box) { event.preventDefault(); text.form.requestSubmit(); }
    if (event.key === "Escape" && !one("dialog[open], :popover-open")) {
      const open = event.target.closest?.("details.edit[open]");
      if (open) open.open = false; else one(".stop-btn:not([disabled])")?.click();
    }
    if (event.key === "ArrowUp" && event.target === box && !box.value) {
      const last = [...document.querySelectorAll("details.edit")].at(-1);
      if (last) { event.preventDefault(); last.open = true; one("textarea", last).focus(); }
    }
    if (event.key.toLowerCase() === "c" && mod && event.shiftKey) {
      const last = [...document.querySelectorAll(".copy-answer")].at(-1);
      if (last) { event.preventDefault(); last.click(); }
    }
  });

  const ticked = (button) => {
    const use = one("use", button), before = use?.getAttribute("href");
    if (!use || before === "#i-check") return;
    use.setAttribute("href", "#i-check");
    setTimeout(() => use.setAttribute("href", before), 1400);
  };
  addEventListener("click", (event) => {
    const hit = (selector) => event.target.closest(selector);
    let found;
    if ((found = hit(".copy-code"))) navigator.clipboard?.writeText(one("pre", found.closest(".code")).textContent);
    if ((found = hit("[data-prompt]")) && box) { event.preventDefault(); fill(found.textContent); box.dispatchEvent(new Event("input")); box.focus(); }
    if ((found = hit("[data-fold]"))) found.closest("details").open = false;
  });
  addEventListener("copied", (event) => ticked(event.target));
  document.addEventListener("toggle", (event) => { // neither of the two events bubbles
    if (event.target.matches?.(".why[popover]") && event.newState === "open") htmx.trigger(event.target, "opened");
    if (event.target.matches?.("details.edit") && event.target.open) one("textarea", event.target).focus();
  }, true);
})();
