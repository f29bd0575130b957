"use strict";
const { rows, atOnce, score } = JSON.parse(document.getElementById("rows").textContent);
const table = document.getElementById("table"), body = table.tBodies[0];
const words = document.getElementById("words"), selects = [...document.querySelectorAll("select[data-heading]")];
const headings = [...table.tHead.rows[0].cells].map(cell => cell.textContent);
const shown = document.getElementById("shown"), more = document.getElementById("more");
let view = rows, limit = atOnce;
for (const row of rows) {
  row.texts = [...row.names, String(row.seed), ...row.written];
  row.keys = [...row.names, row.seed, ...row.values];
  row.text = row.texts.join(" ").toLowerCase();
}
function cell(text, number) {
  const made = document.createElement("td");
  if (number) made.className = "number";
  made.append(text);
  return made;
}
function drawn(row) {
  const made = document.createElement("tr"), names = row.names.length;
  made.append(...row.texts.map((text, column) => cell(text, column >= names)));
  if (row.interval) {
    const interval = document.createElement("span");
    interval.className = "dim";
    interval.textContent = row.interval;
    made.cells[names + 1 + score].append(" ", interval);
  }
  const link = document.createElement("a");
  link.href = row.probe;
  link.ariaLabel = `Probe of ${row.names.join(" ")} seed ${row.seed}`;
  link.textContent = "JSON";
  made.append(cell(link));
  return made;
}
// A browser takes seconds to lay out thousands of rows: those that are not asked for are not drawn.
function draw() {
  body.replaceChildren(...view.slice(0, limit).map(drawn));
  tell();
}
function tell() {
  more.hidden = view.length <= limit;
  shown.textContent = `${view.length} of ${rows.length} cells`;
}
function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = selects.filter(s => s.value).map(s => [headings.indexOf(s.dataset.heading), s.value]);
  view = rows.filter(row => wanted.every(word => row.text.includes(word)) &&
    chosen.every(([column, value]) => row.texts[column] === value));
  limit = atOnce;
  draw();
}
const { compare } = new Intl.Collator(undefined, { numeric: true });
function sort(header, column) {
  const descending = header.ariaSort === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const compared = (a, b) => typeof a === "number" ? a - b : compare(a, b);
  rows.sort((first, second) => {
    const a = first.keys[column], b = second.keys[column];
    // What is undefined comes last either way.
    if (a === null || b === null) return (a === null) - (b === null);
    return descending ? compared(b, a) : compared(a, b);
  });
  filter();
}
[...table.tHead.rows[0].cells].slice(0, -1).forEach((header, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  button.addEventListener("click", () => sort(header, column));
  header.append(button);
});
words.addEventListener("input", filter);
for (const select of selects) select.addEventListener("change", filter);
more.addEventListener("click", () => { limit += atOnce; draw(); });
document.getElementById("controls").hidden = false;
tell();
