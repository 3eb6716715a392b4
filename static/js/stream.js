// The socket of a room (protocol: console/consumers.py). Text goes to the end of the open block, closed blocks go before
// it, finished articles replace themselves. Offers window.room to play.js: send(message) and lives().
(() => {
  const thread = document.querySelector("#thread");
  if (!thread) return;
  const turns = thread.querySelector("#turns"), scroll = thread.closest(".scroll"), jump = document.querySelector("#jump");
  const said = document.querySelector("#said"), composer = document.querySelector("#composer");
  const live = () => [...turns.querySelectorAll("article[data-run][aria-busy]")];
  const article = (run) => turns.querySelector(`article[data-run="${CSS.escape(run)}"]`);
  const toast = (title, detail = "") => dispatchEvent(new CustomEvent("toast", { detail: { title, detail, kind: "bad" } }));
  const waiting = new Map(); // drafts that the server has not taken yet
  const arrived = new Map(); // text of each run that the next picture will show
  let socket, tries = 0, follows = true, drawing = false, ended = false;

  // follow the end only for a reader who is there; never move otherwise
  const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;
  const toEnd = () => { scroll.scrollTop = scroll.scrollHeight; follows = true; jump.hidden = true; };
  const moved = () => { if (follows) toEnd(); else jump.hidden = atEnd(); };
  scroll.addEventListener("scroll", () => { follows = atEnd(); if (follows) jump.hidden = true; }, { passive: true });
  new ResizeObserver(() => { if (follows) toEnd(); }).observe(scroll);
  jump.addEventListener("click", toEnd);

  const draw = () => {
    drawing = false;
    for (const [run, text] of arrived) {
      const tail = article(run)?.querySelector(".tail");
      if (!tail || tail.classList.contains("frozen")) continue;
      if (tail.lastChild) tail.lastChild.appendData(text); else tail.append(text);
      tail.classList.toggle("mono", /^\s*(```|~~~|\|)/.test(tail.textContent)); // code and tables line up while open
    }
    arrived.clear();
    moved();
  };
  const frames = {
    start: async (it) => {
      if (article(it.run)) return;
      const keep = it.after && turns.querySelector(`#m-${it.after}`);
      if (it.after && !keep) return; // another branch is being read here
      const rest = [...turns.children];
      rest.slice(keep ? rest.indexOf(keep) + 1 : 0).forEach((each) => each.remove());
      await htmx.swap({ target: document.querySelector(it.target), swap: it.swap, text: it.content, sourceElement: turns, transition: false });
      const newest = turns.lastElementChild.id.slice(2);
      if (composer) composer.elements.parent.value = newest;
      thread.dataset.newest = Math.max(thread.dataset.newest, newest);
      said.textContent = it.say;
      htmx.trigger("#shelf", "refresh");
      toEnd();
    },
    delta: (it) => {
      arrived.set(it.run, (arrived.get(it.run) ?? "") + it.text);
      if (!drawing) { drawing = true; if (document.hidden) draw(); else requestAnimationFrame(draw); }
    },
    block: (it) => {
      draw();
      const tail = article(it.run)?.querySelector(".tail");
      if (!tail || tail.classList.contains("frozen")) return;
      tail.insertAdjacentHTML("beforebegin", it.html);
      tail.textContent = it.tail;
      moved();
    },
    stats: (it) => ["by", "ttft", "tps", "in", "out", "cost"].forEach((name) => {
      const place = article(it.run)?.querySelector(`[data-s="${name}"]`);
      if (!place || !it[name]) return;
      place.textContent = it[name];
      if (name !== "by") place.parentElement.hidden = false;
    }),
    stopping: (it) => freeze(it.run),
    done: async (it) => {
      arrived.delete(it.run);
      if (!article(it.run)) return;
      await htmx.swap({ target: document.querySelector(it.target), swap: it.swap, text: it.content, sourceElement: turns, transition: false });
      said.textContent = it.say;
      htmx.trigger("#shelf", "refresh");
      moved();
    },
    sent: (it) => {
      waiting.delete(it.draft_id);
      dispatchEvent(new CustomEvent("draft:sent", { detail: it }));
    },
    refused: (it) => { waiting.delete(it.draft_id); toast(it.message); dispatchEvent(new CustomEvent("draft:refused", { detail: it })); },
  };
  frames.error = frames.done;
  const freeze = (run) => { draw(); article(run)?.querySelector(".tail")?.classList.add("frozen"); };
  // one after the other: a swap takes a moment, and what follows must find its article
  let queue = Promise.resolve();
  const receive = (it) => {
    queue = queue.then(() => frames[it.type]?.(it)).then(() => {
      const place = it.run && it.seq && article(it.run);
      if (place) place.dataset.seq = it.seq;
    });
  };

  const say = (message) => { if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message)); };
  const connect = () => {
    socket = new WebSocket(new URL(thread.dataset.socket, location.href.replace(/^http/, "ws")));
    socket.onopen = () => {
      queue.then(() => {
        const runs = Object.fromEntries(live().map((each) => [each.dataset.run, Number(each.dataset.seq)]));
        say({ action: "subscribe", runs, last: Number(thread.dataset.newest) });
        waiting.forEach(say);
      });
      tries = 0;
    };
    socket.onmessage = (event) => receive(JSON.parse(event.data));
    socket.onclose = ({ code }) => {
      ended = [4401, 4403, 4404].includes(code);
      if (ended) { toast(thread.dataset.ended); return; }
      if (++tries === 3) toast(thread.dataset.lost);
      setTimeout(connect, Math.min(5000, 200 * 2 ** tries) * (0.5 + Math.random()));
    };
  };
  window.room = {
    live, freeze,
    open: () => !ended && socket?.readyState === WebSocket.OPEN,
    send: (message) => { if (message.draft_id) waiting.set(message.draft_id, message); say(message); },
  };
  if (!("stays" in thread.dataset)) toEnd();
  connect();
})();
