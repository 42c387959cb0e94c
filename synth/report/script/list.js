// The list: only what can be seen of it is in the document.

const ROW_HEIGHT = 60, AROUND = 6;
const space = byId("space");
const chip = (text, kind) => make("span", { className: `chip ${kind}`, textContent: text });
const chips = (row) => {
  const found = [], decision = decisions.get(rows.id[row]);
  if (rows.reason[row]) found.push(chip(reasonNames[rows.reason[row]], "refused"));
  if (decision) found.push(chip(words[KINDS[decision.decision]], decision.decision));
  return found;
};
const AROUND_HIT = 12;
/** A text from shortly before what is searched for; null without it. */
function from(text, sought) {
  const hit = hits(text, sought).next().value;
  if (!hit) return null;
  return hit[0] <= AROUND_HIT ? text : `…${text.slice(hit[0] - AROUND_HIT / 2)}`;
}
/** What a line begins with: the question, and where in the answer stands what the question has not. */
function beginning(row, sought) {
  const question = rows.question[row], answer = rows.answer[row];
  if (!question || !sought) return question || answer || "–";
  const asked = from(question, sought), said = asked ? null : from(answer, sought);
  if (!said) return asked ?? question;
  return `${question.length > AROUND_HIT ? `${question.slice(0, AROUND_HIT)}…` : question} ／ ${said}`;
}
const line = (row, sought) => {
  const values = told.scores.map((name, place) => Number.isNaN(scores[place][row]) ? "" : `${name} ${figure(scores[place][row])}`).filter(Boolean);
  return [make("span", { className: "first", dir: "auto" }, ...visible(beginning(row, sought))),
    make("span", { className: "rest" }, ...chips(row), make("span", { textContent: [...values, say(words.characters, amount(rows.length[row]))].join(" · ") }), make("code", {}, ...visible(rows.id[row])))];
};
function draw() {
  space.style.height = `${shown.length * ROW_HEIGHT}px`;
  const from = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - AROUND);
  const to = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW_HEIGHT) + AROUND);
  const query = search.value.trim(), sought = query && pattern(query), nodes = [];
  for (let place = from; place < to; place++) {
    ready(blockOf(shown[place]));
    const node = make("div", { className: "line", id: `row-${place}`, role: "option", "aria-selected": String(place === current),
      "aria-posinset": String(place + 1), "aria-setsize": String(shown.length) }, ...line(shown[place], sought));
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
  mark();
}
function move(place) {
  current = Math.max(0, Math.min(shown.length - 1, place));
  const top = current * ROW_HEIGHT;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW_HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_HEIGHT - list.clientHeight;
  draw();
  open();
}

