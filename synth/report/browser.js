"use strict";
(() => {
const ROW_HEIGHT = 60, AROUND = 6, AT_ONCE = 4000, PAGES_KEPT = 6, FENCE = /^ {0,3}(`{3,}|~{3,})([^\n`]*)\n([^]*?)^ {0,3}\1[`~]*[ \t]*$\n?/gm;
const byId = (id) => document.getElementById(id);
const scripts = (name) => [...document.querySelectorAll(`script.${name}`)];
const data = (script) => { const found = JSON.parse(script.textContent); script.remove(); return found; };
const told = data(scripts("told")[0]), words = told.words, says = told.says;
const texts = scripts("texts").map((script) => script.textContent);
scripts("texts").forEach((script) => script.remove());

// ---- the index: one array for each column
const blocks = scripts("index").map(data);
const starts = [];
let count = 0;
for (const block of blocks) { starts.push(count); count += block.id.length; }
const joined = (name) => blocks.flatMap((block) => block[name]);
const numbers = (name) => Uint16Array.from(joined(name));
const rows = { id: joined("id"), question: joined("question"), answer: joined("answer"), reason: numbers("reason"),
  stage: numbers("stage"), teacher: numbers("teacher"), split: numbers("split"), length: Uint32Array.from(joined("length")) };
const column = (name, place, missing) => blocks.flatMap((block) => block[name][place] ?? Array(block.id.length).fill(missing));
const scores = told.scores.map((_, place) => Float64Array.from(column("scores", place, null), (value) => value ?? NaN));
const fields = told.fields.map((_, place) => Uint16Array.from(column("fields", place, 0)));
blocks.length = 0;

// ---- folding: width, case, and hiragana for katakana, so that a search finds what a reader takes for the same
const folded = new Array(count);
const fold = (text) => text.normalize("NFKC").toLowerCase()
  .replace(/[\u30a1-\u30f6]+/g, (kana) => String.fromCharCode(...Array.from(kana, (one) => one.charCodeAt(0) - 96)));
const foldRow = (row) => folded[row] ??= fold(`${rows.id[row]}\n${rows.question[row]}\n${rows.answer[row]}`);
let next = 0;
const foldSome = () => {
  for (const end = Math.min(count, next + AT_ONCE); next < end; next++) foldRow(next);
  if (next < count) setTimeout(foldSome);
};
const embedded = new Map();
if (texts.length) starts.forEach((start, place) => JSON.parse(texts[place]).forEach((row, at) => {
  embedded.set(start + at, row);
  folded[start + at] = fold([row.id, row.detail ?? "", ...row.messages.flatMap((one) => [one.content, one.reasoning_content ?? ""])].join("\n"));
}));
setTimeout(foldSome, 50);

const SCRIPTS = [["japanese", /[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]/], ["korean", /[\u1100-\u11ff\uac00-\ud7af]/],
  ["chinese", /[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]/], ["latin", /[A-Za-z\u00c0-\u024f]/]];
const scriptOf = (row) => {
  const text = rows.answer[row] || rows.question[row];
  const place = SCRIPTS.findIndex(([, letters]) => letters.test(text));
  return place < 0 ? SCRIPTS.length : place;
};
let scriptNumbers = null;

// ---- decisions: kept in the browser at every change
const KEY = `synth decisions ${told.run}`;
const decisions = new Map(), drafts = new Map();
let keeps = true;
const take = (list) => list.forEach((one) => decisions.set(one.id, one));
const keep = () => {
  try {
    localStorage.setItem(KEY, JSON.stringify({ decisions: [...decisions.values()], drafts: [...drafts], who: byId("who").value }));
  } catch { keeps = false; }
};
take(told.decisions);
try {
  const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
  if (kept.decisions) { decisions.clear(); take(kept.decisions); }
  for (const [id, contents] of kept.drafts ?? []) drafts.set(id, contents);
  byId("who").value = kept.who ?? "";
} catch { keeps = false; }

// ---- small things
const make = (tag, options = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) name.includes("-") || name === "role" ? node.setAttribute(name, value) : (node[name] = value);
  node.append(...children);
  return node;
};
const say = (template, ...values) => values.reduce((text, value) => text.replace("{}", () => value), template);
const amount = (value) => value.toLocaleString("en");
const unseen = new RegExp(told.unseen, "gu");
const visible = (text) => {
  const parts = [];
  let start = 0;
  for (const found of text.matchAll(unseen)) {
    parts.push(text.slice(start, found.index), make("span", { className: "unseen", textContent: `U+${found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}` }));
    start = found.index + found[0].length;
  }
  return [...parts, text.slice(start)];
};
const prose = (text) => {
  const parts = [];
  let start = 0;
  const plain = (piece) => { if (piece.trim()) parts.push(make("div", { className: "prose", dir: "auto" }, ...visible(piece.replace(/^\n+|\n+$/g, "")))); };
  for (const found of text.matchAll(FENCE)) {
    plain(text.slice(start, found.index));
    parts.push(make("pre", { dir: "ltr", tabIndex: 0 }, make("code", {}, ...visible(found[3].replace(/\n$/, "")))));
    start = found.index + found[0].length;
  }
  plain(text.slice(start));
  return parts;
};
const reasonOf = (row) => told.reasons[rows.reason[row]];
const reasonWords = (name) => says.reasons[name] ?? name;
const canDecide = (row) => !rows.reason[row] || told.stages[rows.stage[row]] === told.decidable;

// ---- full texts: in the page, or in scripts beside it
const pages = new Map(), awaited = new Map();
window.synthTexts = (run, number, lines) => awaited.get(number)?.(run === told.run ? lines : null);
const fileOf = (number) => `${told.folder}/rows-${String(number).padStart(4, "0")}.js`;
const page = (number) => {
  if (!pages.has(number)) {
    pages.set(number, new Promise((resolve, reject) => {
      const script = make("script", { src: fileOf(number) });
      const end = (problem) => (lines) => {
        awaited.delete(number);
        script.remove();
        if (lines && !problem) return resolve(lines);
        pages.delete(number);
        reject(new Error(say(problem || words.foreign, fileOf(number))));
      };
      awaited.set(number, end(""));
      script.onload = () => awaited.has(number) && end(words.missing)();
      script.onerror = end(words.missing);
      document.head.append(script);
    }));
    if (pages.size > PAGES_KEPT) pages.delete(pages.keys().next().value);
  }
  return pages.get(number);
};
const pageOf = (row) => { let place = starts.length - 1; while (starts[place] > row) place--; return place; };
const whole = async (row) => {
  if (embedded.has(row)) return embedded.get(row);
  const place = pageOf(row), text = (await page(place + 1))[row - starts[place]];
  if (text?.id !== rows.id[row]) throw new Error(say(words.foreign, fileOf(place + 1)));
  return text;
};

// ---- filters
const search = byId("search"), list = byId("list"), space = byId("space"), detail = byId("detail"), status = byId("found");
const options = (select, pairs) => select.append(make("option", { value: "", textContent: words.any }), ...pairs.map(([value, text]) => make("option", { value, textContent: text })));
const filter = (label, pairs, test) => {
  if (pairs.length < 2) return null;
  const select = make("select");
  options(select, pairs);
  byId("filters").append(make("label", {}, make("span", { textContent: label }), select));
  select.addEventListener("change", choose);
  return { select, test };
};
const used = (names, values, label = (name) => name) => {
  const seen = new Uint32Array(names.length);
  for (const value of values) seen[value]++;
  return names.map((name, number) => [number, name]).filter(([number]) => number && seen[number])
    .map(([number, name]) => [String(number), `${label(name)} (${amount(seen[number])})`]);
};
const equals = (values) => (wanted) => { const number = Number(wanted); return (row) => values[row] === number; };
const rejectedCount = rows.reason.reduce((sum, value) => sum + (value > 0), 0);
const states = [["row", `${words.rows} (${amount(count - rejectedCount)})`], ["refused", `${words.refused} (${amount(rejectedCount)})`], ["decided", words.decided]];
const filters = [
  filter(words.state, states, (wanted) => wanted === "decided" ? (row) => decisions.has(rows.id[row]) : (row) => (rows.reason[row] > 0) === (wanted === "refused")),
  filter(words.reason, used(told.reasons, rows.reason, reasonWords), equals(rows.reason)),
  filter(words.stage, used(told.stages, rows.stage), equals(rows.stage)),
  filter(words.split, used(told.splits, rows.split), equals(rows.split)),
  filter(words.teacher, used(told.teachers, rows.teacher), equals(rows.teacher)),
  ...told.fields.map((field, place) => filter(field.name, used(field.values, fields[place]), equals(fields[place]))),
  filter(words.script, [...SCRIPTS.map(([name]) => name), "other"].map((name, place) => [String(place), says.scripts[name] ?? name]), (wanted) => {
    scriptNumbers ??= Uint8Array.from({ length: count }, (_, row) => scriptOf(row));
    return equals(scriptNumbers)(wanted);
  }),
].filter(Boolean);
const bounds = told.scores.map((name, place) => {
  const input = (label) => make("input", { type: "number", step: "any", "aria-label": `${name}: ${label}`, placeholder: label });
  const least = input(words.least), most = input(words.most);
  byId("filters").append(make("fieldset", {}, make("legend", { textContent: name }), least, most));
  for (const one of [least, most]) one.addEventListener("input", choose);
  return { least, most, values: scores[place] };
});
const order = byId("order");
order.append(...[["", words.in_order], ["longest", words.longest], ["shortest", words.shortest],
  ...told.scores.flatMap((name, place) => [[`high ${place}`, say(words.highest, name)], [`low ${place}`, say(words.lowest, name)]])]
  .map(([value, text]) => make("option", { value, textContent: text })));

let shown = new Uint32Array(0), current = 0, deep = null;
function choose() {
  const query = fold(search.value.trim());
  const tests = filters.filter(({ select }) => select.value).map(({ select, test }) => test(select.value));
  for (const { least, most, values } of bounds) {
    if (least.value !== "") { const value = Number(least.value); tests.push((row) => values[row] >= value); }
    if (most.value !== "") { const value = Number(most.value); tests.push((row) => values[row] <= value); }
  }
  if (deep && deep.query !== query) deep = null;
  if (query) tests.push((row) => foldRow(row).includes(query) || (deep !== null && deep.rows.has(row)));
  const found = new Uint32Array(count);
  let length = 0;
  for (let row = 0; row < count; row++) if (tests.every((test) => test(row))) found[length++] = row;
  shown = found.subarray(0, length);
  arrange();
  status.textContent = say(words.found, amount(length), amount(count));
  byId("nothing").hidden = length > 0;
  byId("deeper").hidden = !query || !told.files || deep !== null;
  current = 0;
  list.scrollTop = 0;
  draw();
}
function arrange() {
  const [way, place] = order.value.split(" ");
  if (!way) return;
  const values = place === undefined ? rows.length : scores[Number(place)];
  const sign = way === "longest" || way === "high" ? -1 : 1;
  const known = (row) => Number.isNaN(values[row]) ? sign * -Infinity : values[row];
  shown.sort((one, other) => sign * (known(one) - known(other)) || one - other);
}
async function searchDeeper() {
  const query = fold(search.value.trim()), found = new Set();
  deep = { query, rows: found };
  byId("deeper").hidden = true;
  for (let number = 1; number <= told.files && deep?.rows === found; number++) {
    status.textContent = say(words.full_going, number, told.files);
    try {
      const start = starts[number - 1];
      (await page(number)).forEach((row, at) => { if (row.messages.some((one) => fold(`${one.content ?? ""}\n${one.reasoning_content ?? ""}`).includes(query))) found.add(start + at); });
    } catch (error) { deep = null; choose(); status.textContent = error.message; return; }
  }
  if (deep?.rows !== found) return;
  choose();
  status.textContent += ` ${words.full_done}`;
}

// ---- the list: only what can be seen is in the document
const chip = (text, kind) => make("span", { className: `chip ${kind}`, textContent: text });
const KINDS = { accept: "accepted", reject: "rejected", edit: "edited" };
const chips = (row) => {
  const found = [], decision = decisions.get(rows.id[row]);
  if (rows.reason[row]) found.push(chip(reasonWords(reasonOf(row)), "refused"));
  if (decision) found.push(chip(words[KINDS[decision.decision]], decision.decision));
  return found;
};
const figure = (value) => Number(value.toPrecision(3)).toString();
const line = (row) => {
  const values = told.scores.map((name, place) => Number.isNaN(scores[place][row]) ? "" : `${name} ${figure(scores[place][row])}`).filter(Boolean);
  const first = rows.question[row] || rows.answer[row];
  return [make("span", { className: "first", dir: "auto" }, ...visible(first || "–")),
    make("span", { className: "rest" }, ...chips(row), make("span", { textContent: [...values, say(words.characters, amount(rows.length[row]))].join(" · ") }), make("code", {}, ...visible(rows.id[row])))];
};
function draw() {
  space.style.height = `${shown.length * ROW_HEIGHT}px`;
  const from = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - AROUND);
  const to = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW_HEIGHT) + AROUND);
  const nodes = [];
  for (let place = from; place < to; place++) {
    const node = make("div", { className: "line", id: `row-${place}`, role: "option", "aria-selected": String(place === current),
      "aria-posinset": String(place + 1), "aria-setsize": String(shown.length) }, ...line(shown[place]));
    node.style.top = `${place * ROW_HEIGHT}px`;
    node.addEventListener("click", () => {
      current = place;
      list.focus();
      open();
      if (detail.offsetTop > list.offsetTop) detail.scrollIntoView();
    });
    nodes.push(node);
  }
  space.replaceChildren(...nodes);
  if (current >= from && current < to) list.setAttribute("aria-activedescendant", `row-${current}`);
  else list.removeAttribute("aria-activedescendant");
}
function move(place) {
  current = Math.max(0, Math.min(shown.length - 1, place));
  const top = current * ROW_HEIGHT;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW_HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_HEIGHT - list.clientHeight;
  draw();
  open();
}

// ---- one row
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

// ---- files of decisions
function save() {
  const every = [...decisions.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  const file = { synth: "decisions", version: 1, run: told.run, decisions: every };
  const link = make("a", { download: "decisions.json", href: URL.createObjectURL(new Blob([JSON.stringify(file, null, 1) + "\n"], { type: "application/json" })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
async function load(file) {
  let problem = "", found = null;
  try { found = JSON.parse(await file.text()); } catch { problem = words.not_loaded; }
  if (!problem && (found?.synth !== "decisions" || !Array.isArray(found.decisions))) problem = words.not_loaded;
  if (!problem && found.run !== told.run) problem = words.other_run;
  if (!problem && !found.decisions.every((one) => typeof one?.id === "string" && Object.hasOwn(KINDS, one.decision))) problem = words.not_loaded;
  if (!problem) { take(found.decisions); keep(); tally(); choose(); }
  byId("done").textContent = problem || say(words.loaded, amount(found.decisions.length));
}

// ---- what the reader does
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
search.addEventListener("input", choose);
order.addEventListener("change", choose);
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
})();
