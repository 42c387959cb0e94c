// What the reader does.

let drawing = false;
list.addEventListener("scroll", () => {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; draw(); });
});
window.addEventListener("resize", draw);
list.addEventListener("keydown", (event) => {
  const full = Math.max(1, Math.floor(list.clientHeight / ROW_HEIGHT) - 1);
  const places = { ArrowDown: current + 1, ArrowUp: current - 1, PageDown: current + full, PageUp: current - full, Home: 0, End: shown.length - 1 };
  if (Object.hasOwn(places, event.key)) move(places[event.key]);
  else if (event.key === "Enter") { open(); detail.focus(); }
  else return;
  event.preventDefault();
});
const ACTS = { a: () => decide("accept"), r: () => decide("reject"), e: edit, u: () => decide(null), j: () => move(current + 1),
  k: () => move(current - 1) };
byId("browser").addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    if (opened?.text) show(opened.row, opened.text);
    list.focus();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  if (!Object.hasOwn(ACTS, event.key)) return;
  ACTS[event.key]();
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.defaultPrevented || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  search.focus();
  event.preventDefault();
});
search.addEventListener("input", () => choose());
order.addEventListener("change", () => choose());
byId("deeper").textContent = say(words.full_texts, told.files);
byId("deeper").addEventListener("click", searchDeeper);
byId("clear").addEventListener("click", () => {
  search.value = order.value = "";
  for (const { select } of filters) select.value = "";
  for (const { least, most } of bounds) least.value = most.value = "";
  choose();
});
byId("who").addEventListener("change", () => {
  const name = byId("who").value.trim();
  const applied = new Set(told.decisions.map(({ id }) => id));
  for (const one of decisions.values()) if (!one.by && !applied.has(one.id)) decisions.set(one.id, { ...one, by: name });
  keep();
});
byId("save").addEventListener("click", save);
byId("load").addEventListener("change", (event) => {
  if (event.target.files[0]) load(event.target.files[0]);
  event.target.value = "";
});
window.addEventListener("storage", (event) => {  // the same page in another tab
  if (event.key !== KEY || !event.newValue) return;
  recall(JSON.parse(event.newValue));
  tally();
  draw();
});
window.addEventListener("beforeunload", (event) => { if (!keeps && unsaved) event.preventDefault(); });

const command = `synth select ${folder()} --decisions decisions.json`;
byId("command").textContent = command;
byId("apply").append(" ", copying(words.copy, command));
if (told.left_out) {
  byId("left").textContent = say(words.left_out, amount(count), amount(told.left_out));
  byId("left").hidden = false;
}
const narrow = matchMedia("(max-width: 50rem)"), folded = byId("folded");
const fit = () => { folded.open = !narrow.matches; };
narrow.addEventListener("change", fit);
fit();
byId("browser").hidden = !count;  // the page itself says that there are no rows
tally();
choose();
readAll();
