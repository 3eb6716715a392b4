// The first form guesses better with the browser's own time zone; the server turns it into a zone and a currency.
(() => {
  const house = () => document.querySelector("#house");
  const says = (name, text) => house().querySelector(`[data-says="${name}"]`)?.replaceChildren(text);
  let touched = house().open;

  addEventListener("input", (event) => {
    const field = event.target;
    if (field.name === "email" && !touched) name(field.value);
    if (!house().contains(field)) return;
    touched = true;
    says(field.name, field.value);
  });

  // claire@atelier-nord.example works at Atelier Nord, unless the address is one that anybody can have
  const anybodys = /^(gmail|googlemail|outlook|hotmail|live|icloud|me|yahoo|orange|free|laposte|gmx|web|proton|protonmail|example)$/;
  const name = (email) => {
    const host = (email.split("@")[1] ?? "").split(".");
    const word = host.length > 1 ? host.at(-2) : "";
    if (word.length < 3 || anybodys.test(word)) return;
    const spoken = word.split("-").map((part) => part.charAt(0).toUpperCase() + part.slice(1)).join(" ");
    house().querySelector("[name=organisation]").value = spoken;
    says("organisation", spoken);
  };

  for (const time of document.querySelectorAll("footer time")) {
    time.textContent = new Date(time.dateTime).toLocaleTimeString(document.documentElement.lang, { timeStyle: "short" });
  }

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || touched || zone === house().querySelector("[name=time_zone]").value) return;
  fetch(`?${new URLSearchParams({ zone })}`, { headers: { "HX-Request": "true" } }).then(async (answer) => {
    if (!answer.ok || touched) return;
    const read = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = read.querySelector("#house");
    if (!fresh) return;
    for (const field of ["time_zone", "currency"]) {
      const value = fresh.querySelector(`[name=${field}]`).value;
      house().querySelector(`[name=${field}]`).value = value;
      says(field, value);
    }
  });
})();
