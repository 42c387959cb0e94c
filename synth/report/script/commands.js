// Commands to copy. Where the page lies is known to the browser alone: the page itself tells no path of anybody's disk.

const quoted = (text) => /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
function folder() {
  if (location.protocol !== "file:") return "FOLDER";
  const path = decodeURIComponent(location.pathname).replace(/\/[^/]*$/, "");
  return quoted(/^\/[A-Za-z]:/.test(path) ? path.slice(1) : path || "/");
}
async function copy(button, text) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = words.copied;
  } catch {
    button.replaceWith(make("input", { type: "text", readOnly: true, value: text, className: "copied", "aria-label": before }));
    document.querySelector("input.copied").select();
    return;
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}
const copying = (label, text) => {
  const made = button(label, () => copy(made, text), undefined, "quiet");
  made.title = text;
  return made;
};
