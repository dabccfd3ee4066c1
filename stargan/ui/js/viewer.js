// The result beside or over its source. value: {before, after, name}, addresses of pictures.
const stage = element.querySelector(".stage");
const [before, after] = element.querySelectorAll("img");
const handle = element.querySelector(".handle");
const REST = 700; // ms without another picture
let share = 0; // of the width that shows the source
let resting = 0;

function fit() {
  // Whole multiples of the picture's pixels: each of them becomes a square of the screen's.
  const side = after.naturalWidth || before.naturalWidth;
  if (!side) return;
  const beside = stage.dataset.mode === "beside" ? 2 : 1;
  const ratio = window.devicePixelRatio || 1;
  const most = Number(getComputedStyle(stage).getPropertyValue("--most")); // of the screen's height
  const room = Math.min(element.clientWidth / beside, window.innerHeight * most) * ratio;
  const pixels = room >= side ? Math.floor(room / side) * side : room;
  stage.style.setProperty("--side", `${pixels / ratio}px`);
}

function wipe(to) {
  share = Math.min(1, Math.max(0, to));
  stage.style.setProperty("--share", `${100 * share}%`);
  handle.setAttribute("aria-valuenow", Math.round(100 * share));
}

function show() {
  const shown = props.value || {};
  for (const [img, address] of [[before, shown.before], [after, shown.after]]) {
    if (address) { if (img.src !== address) img.src = address; } else img.removeAttribute("src");
    img.parentElement.hidden = !address;
  }
  handle.hidden = !(shown.before && shown.after);
  clearTimeout(resting);
  // Where there is no picture, nothing of the last one may stay either.
  resting = setTimeout(() => trigger("rest"), shown.after ? REST : 0);
}

for (const img of [before, after]) img.addEventListener("load", fit);
new ResizeObserver(fit).observe(element);
for (const button of element.querySelectorAll(".modes button")) {
  button.addEventListener("click", () => {
    stage.dataset.mode = button.dataset.mode;
    for (const other of element.querySelectorAll(".modes button")) other.setAttribute("aria-pressed", other === button);
    fit();
  });
}

function at(event) {
  const box = stage.getBoundingClientRect();
  return (event.clientX - box.left) / box.width;
}
stage.addEventListener("pointerdown", event => {
  if (stage.dataset.mode !== "wipe" || handle.hidden) return;
  event.preventDefault();
  stage.setPointerCapture(event.pointerId);
  wipe(at(event));
  handle.focus({ preventScroll: true });
});
stage.addEventListener("pointermove", event => {
  if (stage.hasPointerCapture(event.pointerId)) wipe(at(event));
});
handle.addEventListener("keydown", event => {
  const step = { ArrowLeft: -0.05, ArrowDown: -0.05, ArrowRight: 0.05, ArrowUp: 0.05, Home: -1, End: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  wipe(share + step);
});
// Enter on a slider of this tab takes the next style.
document.addEventListener("keydown", event => {
  if (event.key === "Enter" && event.target.matches("#translate input[type=range], #translate [role=slider]")) trigger("next");
});
wipe(0);
watch("value", show);
show();
