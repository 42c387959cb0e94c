// What a person decides, kept in the browser at every change.

const KEY = `synth decisions ${told.run}`;
const KINDS = { accept: "accepted", reject: "rejected", edit: "edited" };
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
const canDecide = (row) => !rows.reason[row] || told.stages[rows.stage[row]] === told.decidable;

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

