// One row, whole.

const detail = byId("detail");
let opened = null;
async function open() {
  const row = shown[current];
  if (row === undefined) return;
  opened = { row, text: null };
  draw();
  try {
    const text = await whole(row);
    if (opened.row === row) show(row, text);
  } catch (error) {
    if (opened.row === row) detail.replaceChildren(make("p", { className: "note", textContent: error.message }));
  }
}
const fact = (name, value) => make("span", {}, `${name} `, make("b", {}, ...visible(String(value))));
function show(row, text) {
  opened = { row, text };
  const decision = decisions.get(text.id), messages = decision?.messages ?? text.messages;
  const facts = [...text.scores.map((score) => { const node = fact(score.name, figure(score.value)); node.title = score.detail; return node; }),
    ...(text.similarity == null ? [] : [fact(says.similarity, text.similarity.toFixed(2))]), ...(text.twin_id ? [fact(words.twin, text.twin_id)] : []),
    fact(words.seed, text.seed_id), ...(text.stage ? [fact(words.stage, text.stage)] : []), ...(text.teacher ? [fact(words.teacher, text.teacher)] : []),
    ...(text.cost_microusd ? [fact(words.cost, `$${(text.cost_microusd / 1e6).toFixed(4)}`)] : []), ...(text.repairs.length ? [fact(words.repairs, text.repairs.join(", "))] : [])];
  detail.replaceChildren(
    make("h3", {}, make("code", {}, ...visible(text.id)), ...chips(row)),
    make("p", { className: "meta" }, ...facts),
    ...(text.detail ? [make("p", { className: "detail", dir: "auto" }, `${words.detail}: `, ...visible(text.detail))] : []),
    buttons(row, text),
    messages.length ? make("div", { className: "conversation" }, ...messages.map(turn)) : make("p", { className: "note", textContent: says.not_kept }));
}
const turn = (message) => {
  const said = make("div", { className: "said" });
  if (message.reasoning_content) said.append(make("details", {}, make("summary", { textContent: says.reasoning }), ...prose(message.reasoning_content)));
  said.append(...prose(message.content ?? ""));
  for (const call of message.tool_calls ?? []) said.append(make("pre", { dir: "ltr", tabIndex: 0 }, make("code", {}, ...visible(`${call.function.name} ${call.function.arguments}`))));
  return make("div", { className: `turn ${Object.hasOwn(says.roles, message.role) ? message.role : ""}` }, make("div", { className: "role", textContent: says.roles[message.role] ?? message.role }), said);
};
const button = (text, act, pressed) => make("button", { type: "button", textContent: text, onclick: act, ...(pressed === undefined ? {} : { "aria-pressed": String(pressed) }) });
const buttons = (row, text) => {
  if (!canDecide(row)) return make("p", { className: "note", textContent: words.undecidable });
  const decision = decisions.get(text.id)?.decision;
  const note = make("input", { type: "text", value: decisions.get(text.id)?.note ?? "", "aria-label": words.note, placeholder: words.note });
  note.addEventListener("change", () => { const made = decisions.get(text.id); if (made) { made.note = note.value; keep(); } });
  return make("div", { className: "buttons" }, button(words.accept, () => decide("accept"), decision === "accept"), button(words.reject, () => decide("reject"), decision === "reject"),
    button(words.edit, edit, decision === "edit"), ...(decision ? [button(words.undo, () => decide(null))] : []), note);
};
function decide(decision, messages) {
  if (!opened?.text || !canDecide(opened.row)) return;
  const { row, text } = opened, before = decisions.get(text.id);
  if (decision === null) decisions.delete(text.id);
  else decisions.set(text.id, { id: text.id, decision, by: byId("who").value.trim(), at: new Date().toISOString().slice(0, 19) + "Z", note: before?.note ?? "",
    ...(messages ? { messages, original: before?.original ?? text.messages } : {}) });
  keep();
  tally();
  draw();
  show(row, text);
  byId("done").textContent = decision === null ? words.undone : words[KINDS[decision]];
}
function edit() {
  if (!opened?.text || !canDecide(opened.row)) return;
  const { row, text } = opened, messages = decisions.get(text.id)?.messages ?? text.messages;
  const contents = drafts.get(text.id) ?? messages.map((message) => message.content ?? "");
  const areas = messages.map((message, place) => make("textarea", { value: contents[place], rows: Math.min(20, 2 + Math.ceil((message.content ?? "").length / 60)), dir: "auto", "aria-label": says.roles[message.role] ?? message.role }));
  for (const area of areas) area.addEventListener("input", () => { drafts.set(text.id, areas.map((one) => one.value)); keep(); });
  const leave = () => { drafts.delete(text.id); keep(); };
  const save = () => { leave(); decide("edit", messages.map((message, place) => ({ ...message, content: areas[place].value }))); };
  detail.replaceChildren(make("h3", {}, make("code", {}, ...visible(text.id))),
    ...messages.map((message, place) => make("div", { className: "edited" }, make("div", { className: "role", textContent: says.roles[message.role] ?? message.role }), areas[place])),
    make("div", { className: "buttons" }, button(words.save_edit, () => { save(); list.focus(); }), button(words.cancel, () => { leave(); show(row, text); list.focus(); })));
  areas[areas.length - 1]?.focus();
}
function tally() {
  const of = (name) => amount([...decisions.values()].filter((one) => one.decision === name).length);
  byId("tally").textContent = decisions.size ? say(words.counted, of("accept"), of("reject"), of("edit")) : words.none_yet;
  byId("save").disabled = !decisions.size;
  byId("apply").hidden = !decisions.size;
  byId("kept").hidden = keeps;
}

