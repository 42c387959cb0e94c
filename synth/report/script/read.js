// One row, whole: what it says, what is known of it, and what a person makes of it.

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
    if (opened.row === row) showShort(row, error.message);
  }
}
const button = (text, act, pressed, className = "") => make("button", { type: "button", textContent: text, onclick: act, className,
  ...(pressed === undefined ? {} : { "aria-pressed": String(pressed) }) });
const roleOf = (message) => make("div", { className: "role", textContent: says.roles[message.role] ?? message.role });
const pager = () => {
  const step = (text, label, by) => {
    const made = button(text, () => move(current + by));
    made.setAttribute("aria-label", label);
    made.disabled = shown[current + by] === undefined;
    return made;
  };
  const back = button(words.back, () => list.scrollIntoView({ block: "center" }), undefined, "back");
  return make("span", { className: "pager" }, back, step("‹", words.previous, -1), step("›", words.next, 1));
};
const heading = (row) => make("h3", {}, make("code", {}, ...visible(rows.id[row])), ...chips(row), pager());
const fact = (name, value) => make("span", {}, `${name} `, make("b", {}, ...visible(String(value))));
/** A fact that others share: a press searches for them. */
const shared = (name, value) => make("span", {}, `${name} `, button(value, () => { search.value = value; choose(); }, undefined, "link"));
function factsOf(text) {
  const found = text.scores.map((score) => Object.assign(fact(score.name, figure(score.value)), { title: score.detail }));
  if (text.similarity != null) found.push(fact(says.similarity, text.similarity.toFixed(2)));
  if (text.twin_id) found.push(shared(words.twin, text.twin_id));
  found.push(shared(words.seed, text.seed_id));
  if (text.stage) found.push(fact(words.stage, text.stage));
  if (text.teacher) found.push(fact(words.teacher, text.teacher));
  if (text.cost_microusd) found.push(fact(words.cost, `$${(text.cost_microusd / 1e6).toFixed(4)}`));
  if (text.repairs.length) found.push(fact(words.repairs, text.repairs.join(", ")));
  found.push(copying(words.trace, `synth trace ${folder()} ${quoted(text.id)}`));
  return found;
}
function show(row, text) {
  opened = { row, text };
  const decision = decisions.get(text.id), messages = decision?.messages ?? originalOf(text), parts = [heading(row)];
  parts.push(make("p", { className: "meta" }, ...factsOf(text)));
  if (text.detail) parts.push(make("p", { className: "detail", dir: "auto" }, `${words.detail}: `, ...visible(text.detail)));
  parts.push(buttons(row, text));
  if (messages.length) parts.push(conversation(messages));
  else parts.push(make("p", { className: "note", textContent: says.not_kept }));
  if (decision?.original) {
    parts.push(make("details", { className: "before" }, make("summary", { textContent: words.before }), conversation(decision.original)));
  }
  detail.replaceChildren(...parts);
  detail.scrollTop = 0;
  mark();
}
/** What the index has of a row whose text cannot be had, and why it cannot. */
function showShort(row, problem) {
  const first = [["user", rows.question[row]], ["assistant", rows.answer[row]]].filter(([, content]) => content);
  detail.replaceChildren(heading(row), make("p", { className: "detail", role: "alert", textContent: problem }),
    conversation(first.map(([role, content]) => ({ role, content: `${content} …` }))));
}
const conversation = (messages) => make("div", { className: "conversation" }, ...messages.map(turn));
function turn(message) {
  const said = make("div", { className: "said" });
  if (message.reasoning_content) {
    said.append(make("details", {}, make("summary", { textContent: says.reasoning }), ...prose(message.reasoning_content)));
  }
  said.append(...prose(message.content ?? ""), ...calls(message).map(code));
  const role = Object.hasOwn(says.roles, message.role) ? message.role : "";
  return make("div", { className: `turn ${role}` }, roleOf(message), said);
}
function buttons(row, text) {
  if (!canDecide(row)) return make("p", { className: "note", textContent: words.undecidable });
  const decision = decisions.get(text.id);
  const note = make("input", { id: "why", type: "text", value: decision?.note ?? "", "aria-label": words.note, placeholder: words.note });
  note.addEventListener("change", () => {
    const made = decisions.get(text.id);
    if (!made) return;
    decisions.set(text.id, { ...made, note: note.value });
    keep();
  });
  const is = (kind) => decision?.decision === kind;
  return make("div", { className: "buttons" }, button(words.accept, () => decide("accept"), is("accept")),
    button(words.reject, () => decide("reject"), is("reject")), button(words.edit, edit, is("edit")),
    ...(decision ? [button(words.undo, () => decide(null))] : []), note);
}

// ---- editing
const PARTS = ["reasoning_content", "content"];
const editable = (message) => PARTS.filter((name) => message[name] || (name === "content" && !message.tool_calls?.length));
const written = (message) => editable(message).map((name) => message[name] ?? "");
function edit() {
  if (!opened?.text || !canDecide(opened.row)) return;
  const { row, text } = opened, from = decisions.get(text.id)?.messages ?? originalOf(text);
  const contents = drafts.get(text.id) ?? from.flatMap(written), areas = [];
  const area = (label) => {
    const value = contents[areas.length] ?? "";
    areas.push(make("textarea", { value, rows: Math.min(20, 2 + Math.ceil(value.length / 60)), dir: "auto", "aria-label": label }));
    return areas.at(-1);
  };
  const fields = from.map((message) => make("div", { className: "edited" }, roleOf(message), ...editable(message).map((name) =>
    area(`${says.roles[message.role] ?? message.role}${name === "content" ? "" : `, ${says.reasoning}`}`)), ...calls(message).map(code)));
  const leave = () => { drafts.delete(text.id); keep(); show(row, text); list.focus({ preventScroll: true }); };
  const finish = () => {
    const values = areas.map((one) => one.value);
    const messages = from.map((message) => ({ ...message, ...Object.fromEntries(editable(message).map((name) => [name, values.shift()])) }));
    drafts.delete(text.id);
    if (JSON.stringify(messages) === JSON.stringify(from)) leave();
    else decide("edit", messages);
  };
  for (const one of areas) {
    one.addEventListener("input", () => { drafts.set(text.id, areas.map((each) => each.value)); keep(); });
    one.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) finish(); });
  }
  detail.replaceChildren(heading(row), ...fields,
    make("div", { className: "buttons" }, button(words.save_edit, finish), button(words.cancel, leave)));
  areas.at(-1)?.focus();
}

// ---- what was searched for, marked where it stands
function mark() {
  if (!CSS.highlights) return;
  const query = search.value.trim(), sought = query && pattern(query), ranges = [];
  for (const place of query ? [detail, space] : []) {
    const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      for (const [start, end] of hits(node.data, sought)) {
        const range = new Range();
        range.setStart(node, start);
        range.setEnd(node, end);
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set("sought", new Highlight(...ranges));
}
