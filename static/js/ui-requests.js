// What every htmx request shares: a busy button, and a sentence when it failed. Words stand on <body>, in its language.
(() => {
  const say = (detail) => dispatchEvent(new CustomEvent("toast", { detail }));
  const button = (ctx) => ctx.sourceElement?.matches?.("form") ? ctx.sourceElement.querySelector(".btn.primary") : ctx.sourceElement;

  addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    const pressed = button(ctx);
    if (pressed?.matches?.(".btn")) pressed.setAttribute("aria-busy", "true");
  });
  addEventListener("htmx:finally:request", ({ detail: { ctx } }) => button(ctx)?.removeAttribute?.("aria-busy"));

  addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
    const { status, headers } = ctx.response, words = document.body.dataset;
    if ([401, 409, 422].includes(status) || headers.get("HX-Trigger")) return; // these come with their own answer
    const wait = headers.get("Retry-After"), id = headers.get("x-request-id");
    say({ title: wait ? words.wait.replace("%s", wait) : words.failed, detail: id ?? "" });
  });
  for (const lost of ["offline", "online"]) addEventListener(lost, () => {
    document.getElementById("offline").hidden = lost === "online";
  });
  addEventListener("htmx:error", () => say({ title: document.body.dataset.unreachable }));
})();
