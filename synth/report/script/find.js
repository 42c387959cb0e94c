// Search and filters. They go through the rows in slices, show the first of them at once, and never hold up the page.

const SLICE_MS = 10;
const search = byId("search"), list = byId("list"), order = byId("order"), status = byId("found");

// ---- filters
const reasonNames = told.reasons.map((name) => name && (says.reasons[name] ?? name));
const filters = [], bounds = [];
function filter(label, names, test, values, figured = false) {
  const options = names.map((name, number) => [number, name]).filter(([, name]) => name);
  if (options.length < 2) return;
  const select = make("select");
  select.append(make("option", { value: "", textContent: words.any }),
    ...options.map(([value, textContent]) => make("option", { value: String(value), textContent })));
  byId("filters").append(make("label", {}, make("span", { textContent: label }), select));
  select.addEventListener("change", () => choose());
  filters.push({ label, names, select, test, values, figured });
}
const column = (label, names, values, figured) =>
  filter(label, names, (wanted) => (row) => values[row] === wanted, values, figured);
function bound(label, values) {
  const input = (side) => make("input", { type: "number", step: "any", "aria-label": `${label}: ${side}`, placeholder: side });
  const least = input(words.least), most = input(words.most);
  byId("filters").append(make("fieldset", {}, make("legend", { textContent: label }), least, most));
  for (const one of [least, most]) one.addEventListener("input", () => choose());
  bounds.push({ least, most, values });
}
const STATES = ["", words.rows, words.refused, words.decided], DECIDED = 3;
filter(words.state, STATES, (wanted) =>
  wanted === DECIDED ? (row) => decisions.has(rows.id[row]) : (row) => (rows.reason[row] > 0) === (wanted === 2));
column(words.reason, reasonNames, rows.reason);
column(words.stage, told.stages, rows.stage);
column(words.split, told.splits, rows.split);
column(words.teacher, told.teachers, rows.teacher, true);
told.fields.forEach((field, place) => column(field.name, field.values, fields[place], true));
column(words.script, ["", ...SCRIPTS.map(([name]) => name), "other"].map((name) => name && (says.scripts[name] ?? name)), rows.script, true);
told.scores.forEach((name, place) => bound(name, scores[place]));
bound(words.length, rows.length);
order.append(...[["", words.in_order], ["longest", words.longest], ["shortest", words.shortest],
  ...told.scores.flatMap((name, place) => [[`high ${place}`, say(words.highest, name)], [`low ${place}`, say(words.lowest, name)]])]
  .map(([value, textContent]) => make("option", { value, textContent })));

function wanted() {
  const tests = filters.filter(({ select }) => select.value).map(({ select, test }) => test(Number(select.value)));
  for (const { least, most, values } of bounds) {
    if (least.value !== "") { const value = Number(least.value); tests.push((row) => values[row] >= value); }
    if (most.value !== "") { const value = Number(most.value); tests.push((row) => values[row] <= value); }
  }
  return tests;
}

// ---- choosing
const everyRow = Uint32Array.from({ length: count }, (_, row) => row);
let shown = everyRow, current = 0, deep = null, asked = 0, choosing = null;
/** Choose anew: the list begins at its top again, unless it is only to grow. */
function choose(grows = false) {
  const mine = ++asked;
  choosing = chosen(mine, grows).finally(() => { if (mine === asked) choosing = null; });
}
async function chosen(mine, grows) {
  const query = search.value.trim(), tests = wanted(), found = new Uint32Array(count);
  if (deep && deep.query !== query) deep = null;
  const sought = query && pattern(query);
  list.setAttribute("aria-busy", "true");
  const every = !query && !tests.length && !order.value;
  let length = 0, until = performance.now() + SLICE_MS, begun = grows;
  for (let place = 0; place < told.sizes.length && !every; place++) {
    if (performance.now() > until) {
      if (length && !begun && !order.value) begun = present(found.subarray(0, length), false);
      status.textContent = say(words.searching, amount(length), Math.round(100 * starts[place] / count));
      await pause();
      if (mine !== asked) return;
      until = performance.now() + SLICE_MS;
    }
    if (sought && !deep && length < place && !mayHold(place, sought, query)) continue;  // rare so far
    for (const row of candidates(place, sought)) if (tests.every((test) => test(row))) found[length++] = row;
  }
  const fits = every ? everyRow : found.subarray(0, length);
  arrange(fits);
  present(fits, begun);
  status.textContent = say(words.found, amount(fits.length), amount(count));
  byId("nothing").hidden = fits.length > 0;
  byId("deeper").hidden = !query || !told.files || deep !== null;
  const set = [...filters.map(({ select }) => select), ...bounds.flatMap(({ least, most }) => [least, most])].filter(({ value }) => value);
  byId("chosen").textContent = set.length ? `(${set.length})` : "";
  list.removeAttribute("aria-busy");
  await pause();
  if (mine === asked) drawFigures(fits);
}
function candidates(place, sought) {
  ready(place);
  const all = everyRow.subarray(starts[place], starts[place] + told.sizes[place]);
  if (!sought) return all;
  const held = holding(place, sought);
  if (!deep) return held;
  const either = new Set(held);
  return all.filter((row) => either.has(row) || deep.rows.has(row));
}
/** Show these rows, from the top or where the list is; true, as the list has begun. */
function present(fits, stays) {
  shown = fits;
  if (!stays) current = list.scrollTop = 0;
  draw();
  return true;
}
function arrange(fits) {
  const [way, place] = order.value.split(" ");
  if (!way) return;
  const values = place === undefined ? rows.length : scores[Number(place)];
  const sign = way === "longest" || way === "high" ? -1 : 1;
  const known = (row) => Number.isNaN(values[row]) ? sign * -Infinity : values[row];
  fits.sort((one, other) => sign * (known(one) - known(other)) || one - other);
}

// ---- the full texts of a large run, file by file
async function searchDeeper() {
  const query = search.value.trim(), sought = pattern(query), found = new Set();
  deep = { query, rows: found };
  byId("deeper").hidden = true;
  let saidAt = performance.now();
  for (let number = 1; number <= told.files && deep?.rows === found; number++) {
    const before = found.size;
    try {
      (await page(number)).forEach((text, at) => {
        if (plainly(spoken(text)).search(sought) >= 0) found.add(starts[number - 1] + at);
      });
    } catch (error) {
      deep = null;
      choose(true);
      await choosing;
      status.textContent = error.message;
      return;
    }
    if (deep?.rows !== found) return;
    if (found.size > before && performance.now() > saidAt + 500) {
      choose(true);
      await choosing;
      saidAt = performance.now();
    }
    status.textContent = say(words.full_going, number, told.files);
  }
  if (deep?.rows !== found) return;
  choose(true);
  await choosing;
  status.textContent += ` ${words.full_done}`;
}

// ---- what is left of the index is read while nobody waits
async function readAll() {
  for (const read of [ready, linesOf]) {
    for (let place = 0, until = 0; place < told.sizes.length; place++) {
      if (performance.now() > until) {
        await pause();
        while (choosing) await choosing;
        until = performance.now() + SLICE_MS;
      }
      read(place);
    }
    if (read !== ready) continue;
    countOptions();
    prepareFigures();
    drawFigures(shown);
  }
}
function counted(names, values) {
  const seen = new Uint32Array(names.length);
  for (const value of values) seen[value]++;
  return seen;
}
function countOptions() {
  const refused = rows.reason.reduce((sum, value) => sum + (value > 0), 0);
  for (const { select, names, values } of filters) {
    const seen = values ? counted(names, values) : [0, count - refused, refused];
    for (const option of [...select.options].slice(1)) {
      const number = Number(option.value);
      if (seen[number]) option.textContent = `${names[number]} (${amount(seen[number])})`;
      else if (values) option.remove();
    }
  }
}
