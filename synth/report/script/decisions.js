// What a person decides, kept in the browser at every change, and in files.

const KEY = `synth decisions ${told.run}`;
const KINDS = { accept: "accepted", reject: "rejected", edit: "edited" };
const APPLIED = JSON.stringify(told.decisions);
const decisions = new Map(), drafts = new Map(), originals = new Map();
for (const one of told.decisions) if (one.original) originals.set(one.id, one.original);
let keeps = true, unsaved = false;
const take = (list) => list.forEach((one) => decisions.set(one.id, one));
const canDecide = (row) => !rows.reason[row] || told.stages[rows.stage[row]] === told.decidable;
/** What a row said before anybody edited it; a row of this page may be an edit that has been applied. */
const originalOf = (text) => originals.get(text.id) ?? text.messages;

/** The decisions that made these rows, and over them those kept here, unless they were made on top of these very ones. */
function recall(kept) {
  decisions.clear();
  drafts.clear();
  if (!kept.decisions || kept.applied !== APPLIED) take(told.decisions);
  take(kept.decisions ?? []);
  for (const [id, contents] of kept.drafts ?? []) drafts.set(id, contents);
  byId("who").value = kept.who ?? "";
}
function keep() {
  const kept = { decisions: [...decisions.values()], drafts: [...drafts], who: byId("who").value, applied: APPLIED };
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
    keeps = true;
  } catch { keeps = false; }
  unsaved = true;
  tally();
}
try {
  recall(JSON.parse(localStorage.getItem(KEY) ?? "{}"));
} catch {
  take(told.decisions);
  keeps = false;
}

function tally() {
  const of = (name) => amount([...decisions.values()].filter((one) => one.decision === name).length);
  byId("tally").textContent = decisions.size ? say(words.counted, of("accept"), of("reject"), of("edit")) : words.none_yet;
  byId("save").disabled = !decisions.size;
  byId("apply").hidden = !decisions.size;
  byId("kept").hidden = keeps;
}
function decide(decision, messages) {
  if (!opened?.text || !canDecide(opened.row)) return;
  const { row, text } = opened, before = decisions.get(text.id);
  if (before?.decision === "edit" && decision !== "edit") drafts.set(text.id, before.messages.flatMap(written));
  if (decision === null) decisions.delete(text.id);
  else {
    decisions.set(text.id, { id: text.id, decision, by: byId("who").value.trim(), at: `${new Date().toISOString().slice(0, 19)}Z`,
      note: byId("why")?.value ?? before?.note ?? "", ...(messages ? { messages, original: originalOf(text) } : {}) });
  }
  keep();
  draw();
  show(row, text);
  list.focus({ preventScroll: true });
  byId("done").textContent = decision === null ? words.undone : words[KINDS[decision]];
}

// ---- files
function save() {
  const every = [...decisions.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  const file = { synth: "decisions", version: 1, run: told.run, decisions: every };
  const content = new Blob([`${JSON.stringify(file, null, 1)}\n`], { type: "application/json" });
  const link = make("a", { download: "decisions.json", href: URL.createObjectURL(content) });
  link.click();
  unsaved = false;
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
function problemOf(found) {
  if (found?.synth !== "decisions" || !Array.isArray(found.decisions)) return words.not_loaded;
  if (found.run !== told.run) return words.other_run;
  const whole = found.decisions.every((one) => typeof one?.id === "string" && Object.hasOwn(KINDS, one.decision));
  return whole ? "" : words.not_loaded;
}
async function load(file) {
  let found = null;
  try { found = JSON.parse(await file.text()); } catch { /* said below */ }
  const problem = problemOf(found);
  if (!problem) {
    take(found.decisions);
    keep();
    choose();
  }
  byId("done").textContent = problem || say(words.loaded, amount(found.decisions.length));
}
