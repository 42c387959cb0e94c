// What the reader does.

list.addEventListener("scroll", () => requestAnimationFrame(draw));
window.addEventListener("resize", draw);
list.addEventListener("keydown", (event) => {
  const full = Math.max(1, Math.floor(list.clientHeight / ROW_HEIGHT) - 1);
  const places = { ArrowDown: current + 1, ArrowUp: current - 1, PageDown: current + full, PageUp: current - full, Home: 0, End: shown.length - 1 };
  if (Object.hasOwn(places, event.key)) move(places[event.key]);
  else if (event.key === "Enter") { open(); detail.focus(); }
  else return;
  event.preventDefault();
});
byId("browser").addEventListener("keydown", (event) => {
  if (event.key === "Escape") { if (opened?.text) show(opened.row, opened.text); list.focus(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  const acts = { a: () => decide("accept"), r: () => decide("reject"), e: edit, u: () => decide(null), "/": () => search.focus() };
  if (!Object.hasOwn(acts, event.key)) return;
  acts[event.key]();
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
byId("who").addEventListener("change", keep);
byId("save").addEventListener("click", save);
byId("load").addEventListener("change", (event) => { if (event.target.files[0]) load(event.target.files[0]); event.target.value = ""; });
if (told.left_out) { byId("left").textContent = say(words.left_out, amount(count), amount(told.left_out)); byId("left").hidden = false; }
byId("browser").hidden = false;
tally();
choose();
readAll();
