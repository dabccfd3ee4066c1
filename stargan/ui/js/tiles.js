// Small pictures to choose from. value: {tiles: [{src, label}], chosen}, chosen a position or -1.
const list = element.querySelector(".tiles");

function mark(position) {
  list.querySelectorAll("button").forEach((tile, i) => tile.setAttribute("aria-pressed", i === position));
}

function show() {
  const { tiles = [], chosen = -1 } = props.value || {};
  while (list.children.length > tiles.length) list.lastChild.remove();
  while (list.children.length < tiles.length) {
    const tile = document.createElement("button");
    tile.type = "button";
    tile.append(document.createElement("img"));
    list.append(tile);
  }
  tiles.forEach(({ src, label }, i) => {
    const tile = list.children[i], picture = tile.firstChild;
    if (picture.src !== src) picture.src = src;
    picture.alt = label;
    tile.title = label;
  });
  list.hidden = !tiles.length;
  mark(chosen);
}

function choose(tile) {
  const position = [...list.children].indexOf(tile);
  mark(position);
  trigger("select", { index: position, value: tile.title });
}
list.addEventListener("click", event => {
  const tile = event.target.closest("button");
  if (tile) choose(tile);
});
list.addEventListener("keydown", event => {
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  const next = step && list.children[[...list.children].indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
});
// A tile can be dragged onto any other row, whose style it then becomes.
list.addEventListener("dragstart", event => {
  const tile = event.target.closest("button");
  if (tile) event.dataTransfer.setData("text/x-stargan-tile", tile.title);
});
list.parentElement.addEventListener("dragover", event => {
  if (event.dataTransfer.types.includes("text/x-stargan-tile")) event.preventDefault();
});
list.parentElement.addEventListener("drop", event => {
  const label = event.dataTransfer.getData("text/x-stargan-tile");
  if (!label) return;
  event.preventDefault();
  trigger("select", { index: -1, value: label });
});
watch("value", show);
show();
