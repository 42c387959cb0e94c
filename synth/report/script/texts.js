// Full texts: in the page, or in scripts beside it, which a page opened from a disk may load and nothing else.

const PAGES_KEPT = 6;
const pages = new Map(), awaited = new Map();
window.synthTexts = (run, number, lines) => awaited.get(number)?.(run === told.run ? lines : null);
const fileOf = (number) => `${told.folder}/rows-${String(number).padStart(4, "0")}.js`;
function page(number) {
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
}
async function whole(row) {
  const place = blockOf(row), at = row - starts[place];
  if (bodies.length) return bodiesOf(place)[at];
  const text = (await page(place + 1))[at];
  if (text?.id !== rows.id[row]) throw new Error(say(words.foreign, fileOf(place + 1)));
  return text;
}
