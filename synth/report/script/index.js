// The index: one array for each column, filled block by block when a block is first needed. A page of a hundred
// thousand rows is there before it has read one of them.

const scripts = (name) => [...document.querySelectorAll(`script.${name}`)];
const taken = (script) => {
  script.remove();
  return JSON.parse(script.textContent);
};
const told = taken(scripts("told")[0]), words = told.words, says = told.says;
const blocks = scripts("index"), bodies = scripts("texts");
const starts = [];
let count = 0;
for (const size of told.sizes) {
  starts.push(count);
  count += size;
}
const texts = () => Array(count);
const numbers = () => new Uint16Array(count);
const rows = { id: texts(), question: texts(), answer: texts(), reason: numbers(), stage: numbers(), teacher: numbers(),
  split: numbers(), script: new Uint8Array(count), length: new Uint32Array(count) };
const scores = told.scores.map(() => new Float64Array(count).fill(NaN));
const fields = told.fields.map(numbers);

const SCRIPTS = [["japanese", /[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]/], ["korean", /[\u1100-\u11ff\uac00-\ud7af]/],
  ["chinese", /[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]/], ["latin", /[A-Za-z\u00c0-\u024f]/]];
const LATIN = SCRIPTS.length, PLAIN = /^[\x00-\x7f]*$/;
const scriptOf = (text) => {
  if (PLAIN.test(text) && /[a-z]/i.test(text)) return LATIN;
  const place = SCRIPTS.findIndex(([, letters]) => letters.test(text));
  return 1 + (place < 0 ? SCRIPTS.length : place);
};
function ready(place) {
  if (!blocks[place]) return;
  const block = taken(blocks[place]), start = starts[place];
  blocks[place] = null;
  for (const name of ["reason", "stage", "teacher", "split", "length"]) rows[name].set(block[name], start);
  for (let at = 0, row = start; at < told.sizes[place]; at++, row++) {
    rows.id[row] = block.id[at];
    rows.question[row] = block.question[at];
    rows.answer[row] = block.answer[at];
    rows.script[row] = scriptOf(block.answer[at] || block.question[at]);
  }
  block.scores.forEach((values, which) => values.forEach((value, at) => { if (value !== null) scores[which][start + at] = value; }));
  block.fields.forEach((values, which) => fields[which].set(values, start));
}
const blockOf = (row) => {
  let low = 0, high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= row) low = middle;
    else high = middle - 1;
  }
  return low;
};

// ---- searching: width, case, and hiragana or katakana make no difference, as they make none to who reads
const KANA = 96, between = (character, first, last) => character >= first && character <= last;
const other = (character, by) => String.fromCharCode(character.charCodeAt(0) + by);
function letter(character) {
  if (between(character, "\u3041", "\u3096")) return `[${character}${other(character, KANA)}]`;
  if (between(character, "\u30a1", "\u30f6")) return `[${character}${other(character, -KANA)}]`;
  return character.replace(/[\\^$.*+?()[\]{}|/-]/, "\\$&");
}
const plainly = (text) => text.normalize("NFKC");
const pattern = (query) => new RegExp(Array.from(plainly(query), letter).join(""), "gi");
/** Where each letter of a text as a search sees it stands in the text itself; null where letters were joined to one. */
function standing(text, seen) {
  const places = [];
  let joined = "", at = 0;
  for (const letter of text) {
    const made = plainly(letter);
    for (let unit = 0; unit < made.length; unit++) places.push(at);
    joined += made;
    at += letter.length;
  }
  places.push(at);
  return joined === seen ? places : null;
}
/** From where to where a text holds a pattern, each time. */
function* hits(text, wanted) {
  const seen = plainly(text), places = seen.length === text.length ? null : standing(text, seen);
  if (seen.length !== text.length && !places) return;
  wanted.lastIndex = 0;
  for (const { index, 0: { length } } of seen.matchAll(wanted)) {
    yield places ? [places[index], places[index + length]] : [index, index + length];
  }
}
const calls = (message) => (message.tool_calls ?? []).map((call) => `${call.function.name} ${call.function.arguments}`);
const spoken = (text) => [text.id, text.detail ?? "", ...text.messages.flatMap((one) =>
  [one.content ?? "", one.reasoning_content ?? "", ...calls(one)])].join("\t");
const embedded = new Map();
function bodiesOf(place) {
  if (!embedded.has(place)) embedded.set(place, taken(bodies[place]));
  return embedded.get(place);
}
const plain = [];
/** The texts of a block as a search sees them, a line for each row: many rows are made so in one go. */
function linesOf(place) {
  if (plain[place] !== undefined) return plain[place];
  ready(place);
  const start = starts[place], end = start + told.sizes[place], lines = [];
  if (bodies.length) for (const text of bodiesOf(place)) lines.push(spoken(text).replaceAll("\n", " "));
  else for (let row = start; row < end; row++) lines.push(`${rows.id[row]}\t${rows.question[row]}\t${rows.answer[row]}`);
  return (plain[place] = `${plainly(lines.join("\n"))}\n`);
}
/** The rows of a block in which a pattern is found, in order. */
function holding(place, wanted) {
  const lines = linesOf(place), found = [];
  let row = starts[place], from = 0;
  wanted.lastIndex = 0;
  while (wanted.test(lines)) {
    let end = lines.indexOf("\n", from);
    for (; end < wanted.lastIndex - 1; end = lines.indexOf("\n", from)) {
      from = end + 1;
      row++;
    }
    found.push(row++);
    from = wanted.lastIndex = end + 1;
  }
  return found;
}
/** Whether a block may hold a pattern, told without reading it: its texts stand in it as they are, but for a few signs. */
function mayHold(place, wanted, query) {
  if (!blocks[place] || bodies.length || /[^\p{L}\p{N} ]/u.test(query)) return true;
  wanted.lastIndex = 0;
  return wanted.test(plainly(blocks[place].textContent));
}
