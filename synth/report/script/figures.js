// How the rows that fit are spread. A bar that is pressed is a filter, and pressed again no longer.

const MOST_BARS = 10;
const drawn = [];
/** The next larger of 1, 2, 5, 10, 20, ... */
const rounded = (value) => {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= value);
};
function figureOf(label, labels, numberOf, toggle) {
  const bars = labels.map(([number, text]) => {
    const kept = make("span", { className: "fill" }), refused = make("span", { className: "fill refused" });
    const total = make("span", { className: "count" });
    const bar = make("button", { type: "button", className: "bar value", onclick: () => toggle(number, bar.getAttribute("aria-pressed") === "true") },
      make("span", { className: "label", dir: "auto" }, ...visible(text)), make("span", { className: "track" }, kept, refused), total);
    return { number, bar, kept, refused, total };
  });
  byId("figures").append(make("figure", {}, make("figcaption", { textContent: label }), make("div", { className: "bars" }, ...bars.map(({ bar }) => bar))));
  return { bars, numberOf };
}
function prepareFigures() {
  const lengths = bounds.find(({ values }) => values === rows.length);
  const usual = Float64Array.from(rows.length).sort()[Math.floor(0.95 * count)] ?? 0, step = rounded((usual + 1) / (MOST_BARS - 1));
  const last = Math.min(MOST_BARS - 1, Math.floor(usual / step) + 1);
  const edges = Array.from({ length: last + 1 }, (_, bin) => bin * step);
  const named = edges.map((edge, bin) => [bin, bin === last ? say(words.or_more, amount(edge)) : `${amount(edge)} – ${amount(edge + step - 1)}`]);
  const lengthOf = (row) => Math.min(last, Math.floor(rows.length[row] / step));
  const within = { isChosen: (bin) => lengths.least.value === String(edges[bin]), choose: (bin) => {
    lengths.least.value = bin === null ? "" : edges[bin];
    lengths.most.value = bin === null || bin === last ? "" : edges[bin] + step - 1;
  } };
  if (count) drawn.push(figureFor(words.length, named, lengthOf, within));
  for (const { label, names, select, values, figured } of filters) {
    if (!figured) continue;
    const seen = counted(names, values);
    const most = [...names.keys()].filter((number) => number && seen[number]).sort((one, other) => seen[other] - seen[one]).slice(0, MOST_BARS);
    const chosenBy = { isChosen: (number) => select.value === String(number), choose: (number) => { select.value = number ?? ""; } };
    if (most.length > 1) drawn.push(figureFor(label, most.map((number) => [number, names[number]]), (row) => values[row], chosenBy));
  }
  byId("figured").hidden = !drawn.length;
}
function figureFor(label, labels, numberOf, { isChosen, choose: pick }) {
  const made = figureOf(label, labels, numberOf, (number, was) => {
    pick(was ? null : number);
    choose();
  });
  return { ...made, isChosen };
}
function drawFigures(fits) {
  for (const { bars, numberOf, isChosen } of drawn) {
    const kept = new Map(), refused = new Map();
    for (const row of fits) {
      const number = numberOf(row), into = rows.reason[row] ? refused : kept;
      into.set(number, (into.get(number) ?? 0) + 1);
    }
    const sums = bars.map(({ number }) => [kept.get(number) ?? 0, refused.get(number) ?? 0]);
    const longest = Math.max(1, ...sums.map(([one, other]) => one + other));
    bars.forEach(({ number, bar, ...parts }, place) => {
      const [one, other] = sums[place];
      parts.kept.style.width = `${100 * one / longest}%`;
      parts.refused.style.width = `${100 * other / longest}%`;
      parts.total.textContent = amount(one + other);
      bar.setAttribute("aria-pressed", String(isChosen(number)));
      bar.title = say(words.of_which, amount(one), amount(other));
    });
  }
}
