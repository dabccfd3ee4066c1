// A point in a square between four styles. value: {x, y}, each from 0 to 1.
const pad = element.querySelector(".pad");
const point = element.querySelector(".point");
const STEPS = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, -0.05], ArrowDown: [0, 0.05] };
const clamp = t => Math.round(100 * Math.min(1, Math.max(0, t))) / 100;

function show() {
  const { x = 0.5, y = 0 } = props.value || {};
  point.style.left = `${100 * x}%`;
  point.style.top = `${100 * y}%`;
  point.setAttribute("aria-valuenow", Math.round(100 * x));
  point.setAttribute("aria-valuetext", `${Math.round(100 * x)} % to the right, ${Math.round(100 * y)} % down`);
}

function move(x, y) {
  const now = props.value || {};
  const next = { x: clamp(x), y: clamp(y) };
  if (next.x === now.x && next.y === now.y) return;
  props.value = next;
  show();
  trigger("input");
}

function follow(event) {
  const box = pad.getBoundingClientRect();
  move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
}
pad.addEventListener("pointerdown", event => {
  event.preventDefault();
  pad.setPointerCapture(event.pointerId);
  point.focus({ preventScroll: true });
  follow(event);
});
pad.addEventListener("pointermove", event => {
  if (pad.hasPointerCapture(event.pointerId)) follow(event);
});
point.addEventListener("keydown", event => {
  const step = STEPS[event.key];
  if (!step) return;
  event.preventDefault();
  const { x = 0.5, y = 0 } = props.value || {};
  move(x + step[0], y + step[1]);
});
watch("value", show);
show();
