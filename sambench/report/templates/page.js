const all = (what, where = document) => [...where.querySelectorAll(what)];
const shown = document.getElementById("source");
const show = (name, text) => {
  shown.setAttribute("aria-label", name);
  shown.querySelector("pre").textContent = text;
  shown.showModal();
};
const turned = { ascending: "descending", descending: "" };
const compare = (x, y) => typeof x === "number" ? x - y : x.localeCompare(y, "en", { numeric: true });
all("main table").forEach((table) => {
  const body = table.tBodies[0], asWritten = [...body.rows];
  all("th button", table).forEach((button) => button.addEventListener("click", () => {
    const head = button.parentElement, place = head.cellIndex;
    const way = turned[head.getAttribute("aria-sort")] ?? "ascending";
    all("th[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
    if (way) head.setAttribute("aria-sort", way);
    const value = (row) => {
      const cell = row.cells[place];
      return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
    };
    const inOrder = (a, b) => {
      const x = value(a), y = value(b);
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
      return way === "ascending" ? compare(x, y) : compare(y, x);
    };
    (way ? [...asWritten].sort(inOrder) : asWritten).forEach((row) => body.append(row));
  }));
});
const hide = () => {
  const boxes = all(".choose input");
  boxes.forEach((box) => all(`[data-${box.name}]`).forEach((one) => {
    if (one.dataset[box.name] === box.value) one.hidden = !box.checked;
  }));
  const names = boxes.filter((box) => !box.checked).map((box) => box.parentElement.textContent.trim());
  document.getElementById("hidden").textContent = names.length
    ? `Hidden in the tables: ${names.join(", ")}. The answer, figures, bold numbers and marks are of all.` : "";
  all("main table").forEach((table) => {
    const gone = all("tbody tr[hidden] th", table).map((label) => label.textContent);
    table.deleteCaption();
    if (gone.length) {
      table.createCaption().textContent = `Hidden: ${gone.join(", ")}. Bold, marks and LaTeX are of all rows.`;
    }
  });
};
all(".choose input").forEach((box) => box.addEventListener("change", hide));
const sources = JSON.parse(document.getElementById("sources").textContent);
all("td button").forEach((button) => button.addEventListener("click", () => {
  show(button.dataset.source, sources[button.dataset.source]);
}));
all(".copy").forEach((button) => button.addEventListener("click", async () => {
  const text = button.nextElementSibling.content.textContent;
  try { await navigator.clipboard.writeText(text); } catch { return show("LaTeX", text); }
  all(".copy").forEach((other) => { other.textContent = other === button ? "Copied" : "Copy as LaTeX"; });
}));
