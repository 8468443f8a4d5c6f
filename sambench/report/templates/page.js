const all = (what, where = document) => [...where.querySelectorAll(what)];
all("th button").forEach((button) => button.addEventListener("click", () => {
  const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
  const up = head.getAttribute("aria-sort") !== "ascending", place = head.cellIndex;
  all("th[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = (row) => {
    const cell = row.cells[place];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
  };
  const compare = (x, y) => x < y ? -1 : x > y ? 1 : 0;
  [...body.rows].sort((a, b) => {
    const x = value(a), y = value(b);
    if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
    return up ? compare(x, y) : compare(y, x);
  }).forEach((row) => body.append(row));
}));
all(".choose input").forEach((box) => box.addEventListener("change", () => {
  const kind = box.name, hidden = new Set(all(`.choose input[name=${kind}]:not(:checked)`)
    .map((other) => other.value));
  all(`[data-${kind}]`).forEach((one) => { one.hidden = hidden.has(one.dataset[kind]); });
}));
const sources = JSON.parse(document.getElementById("sources").textContent);
const shown = document.getElementById("source");
all("td button").forEach((button) => button.addEventListener("click", () => {
  shown.querySelector("pre").textContent = sources[button.dataset.source];
  shown.showModal();
}));
all(".copy").forEach((button) => button.addEventListener("click", async () => {
  const text = button.nextElementSibling.content.textContent;
  try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
  catch { shown.querySelector("pre").textContent = text; shown.showModal(); }
}));
