"use strict";
// Sorting and filtering of the two tables; without this script they are plain tables.
const valueOf = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.value ?? cell.textContent;
};
const numberOf = (text) => (text === "" ? NaN : Number(text.replaceAll(",", "")));

function compare(column, numeric, sign) {
  return (a, b) => {
    const [left, right] = [valueOf(a, column), valueOf(b, column)];
    if (!numeric) return sign * left.localeCompare(right, "en", { numeric: true });
    const [x, y] = [numberOf(left), numberOf(right)];
    // What has no value stays at the end in both directions.
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return sign * (x - y);
  };
}

function sortBy(table, header) {
  const column = header.cellIndex;
  const descending = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = [...body.rows].sort(compare(column, header.classList.contains("n"), descending ? -1 : 1));
  body.append(...rows);
}

function filter(table, tools) {
  const words = tools.querySelector("input").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = [...tools.querySelectorAll("select")].filter((select) => select.value);
  const rows = [...table.tBodies[0].rows];
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits = words.every((word) => text.includes(word))
      && wanted.every((select) => row.cells[Number(select.dataset.column)].textContent === select.value);
    row.hidden = !fits;
    shown += fits ? 1 : 0;
  }
  tools.querySelector("output").textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    button.addEventListener("click", () => sortBy(table, header));
    header.replaceChildren(button);
  }
  const tools = table.closest("section").querySelector(".tools");
  tools.hidden = false;
  tools.addEventListener("input", () => filter(table, tools));
  filter(table, tools);
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
