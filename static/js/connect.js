// Ticks all the boxes that a button names, or none of them when all were ticked.
addEventListener("click", (event) => {
  const button = event.target.closest("[data-tick]");
  if (!button) return;
  const boxes = [...document.querySelectorAll(button.dataset.tick)];
  const tick = boxes.some((box) => !box.checked);
  for (const box of boxes) box.checked = tick;
});
