// Small things: elements, words and numbers, and text of unknown origin, which becomes nodes and never markup.

const byId = (id) => document.getElementById(id);
const make = (tag, options = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
};
/** A text with its values in `{}`, or in `{0}` and `{1}`; of `{0:row|rows}` the first word where that value is one. */
const say = (template, ...values) => {
  let next = 0;
  return template.replace(/\{(\d*)(?::([^|}]*)\|([^}]*))?\}/g, (_, place, one, more) => {
    const value = values[place || next++];
    return more === undefined ? value : String(value) === "1" ? one : more;
  });
};
const amount = (value) => value.toLocaleString("en");
const figure = (value) => Number(value.toPrecision(3)).toString();

const pause = (() => {
  const channel = new MessageChannel(), waiting = [];
  channel.port1.onmessage = () => waiting.shift()();
  return () => new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(0);
  });
})();

const FENCE = /^ {0,3}(`{3,}|~{3,})([^\n`]*)\n([^]*?)^ {0,3}\1[`~]*[ \t]*$\n?/gm;
const unseen = new RegExp(told.unseen, "gu");
const codePoint = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
const visible = (text) => {
  const parts = [];
  let start = 0;
  for (const found of text.matchAll(unseen)) {
    parts.push(text.slice(start, found.index), make("span", { className: "unseen", textContent: codePoint(found[0]) }));
    start = found.index + found[0].length;
  }
  return [...parts, text.slice(start)];
};
const code = (text) => make("pre", { dir: "ltr", tabIndex: 0 }, make("code", {}, ...visible(text)));
const prose = (text) => {
  const parts = [];
  let start = 0;
  const plain = (piece) => {
    if (piece.trim()) parts.push(make("div", { className: "prose", dir: "auto" }, ...visible(piece.replace(/^\n+|\n+$/g, ""))));
  };
  for (const found of text.matchAll(FENCE)) {
    plain(text.slice(start, found.index));
    parts.push(code(found[3].replace(/\n$/, "")));
    start = found.index + found[0].length;
  }
  plain(text.slice(start));
  return parts;
};
