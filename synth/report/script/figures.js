// How the rows that fit are spread. A bar that is pressed is a filter, and pressed again no longer.

const MOST_BARS = 10;
const drawn = [];
/** The next larger of 1, 2, 5, 10, 20, ... */
const rounded = (value) => {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= value);
};
function figureOf(label, labels, values, { isChosen, pick }) {
  const toggle = (number) => {
    pick(isChosen(number) ? null : number);
    choose();
  };
  const bars = labels.map(([number, text]) => {
    const kept = make("span", { className: "fill" }), refused = make("span", { className: "fill refused" });
    const total = make("span", { className: "count" });
    const bar = make("button", { type: "button", className: "bar value", onclick: () => toggle(number) },
      make("span", { className: "label", dir: "auto" }, ...visible(text)), make("span", { className: "track" }, kept, refused), total);
    return { number, bar, kept, refused, total };
  });
  byId("figures").append(make("figure", {}, make("figcaption", { textContent: label }),
    make("div", { className: "bars" }, ...bars.map(({ bar }) => bar))));
  drawn.push({ bars, values, isChosen, size: 1 + values.reduce((most, one) => Math.max(most, one), labels.length) });
}
function lengthsFigure() {
  const lengths = bounds.find(({ values }) => values === rows.length);
  const usual = Float64Array.from(rows.length).sort()[Math.floor(0.95 * count)] ?? 0, step = rounded((usual + 1) / (MOST_BARS - 1));
  const last = Math.min(MOST_BARS - 1, Math.floor(usual / step) + 1);
  const edges = Array.from({ length: last + 1 }, (_, bin) => bin * step);
  const name = (edge) => edge === last * step ? say(words.or_more, amount(edge)) : `${amount(edge)} – ${amount(edge + step - 1)}`;
  const named = edges.map((edge, bin) => [bin, name(edge)]);
  const bins = Uint8Array.from(rows.length, (length) => Math.min(last, Math.floor(length / step)));
  figureOf(words.length, named, bins, { isChosen: (bin) => lengths.least.value === String(edges[bin]), pick: (bin) => {
    lengths.least.value = bin === null ? "" : edges[bin];
    lengths.most.value = bin === null || bin === last ? "" : edges[bin] + step - 1;
  } });
}
function prepareFigures() {
  if (!count) return;
  lengthsFigure();
  for (const { label, names, select, values, figured } of filters) {
    if (!figured) continue;
    const seen = counted(names, values);
    const known = [...names.keys()].filter((number) => number && seen[number]);
    const most = known.sort((one, other) => seen[other] - seen[one]).slice(0, MOST_BARS);
    if (most.length < 2) continue;
    figureOf(label, most.map((number) => [number, names[number]]), values,
      { isChosen: (number) => select.value === String(number), pick: (number) => { select.value = number ?? ""; } });
  }
  byId("figured").hidden = false;
}
function drawFigures(fits) {
  for (const { bars, values, isChosen, size } of drawn) {
    const kept = new Uint32Array(size), refused = new Uint32Array(size);
    for (const row of fits) (rows.reason[row] ? refused : kept)[values[row]]++;
    const sums = bars.map(({ number }) => [kept[number], refused[number]]);
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
