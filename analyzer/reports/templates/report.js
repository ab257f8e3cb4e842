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

// Rows that are drawn before someone asks for all: thousands of them take a browser seconds.
const MOST_ROWS = 200;
const said = (number) => number.toLocaleString("en");

function show(table, tools) {
  const words = tools.querySelector("input").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = [...tools.querySelectorAll("select")].filter((select) => select.value);
  const rows = [...table.tBodies[0].rows];
  const most = tools.dataset.all ? Infinity : MOST_ROWS;
  let fitting = 0;
  for (const row of rows) {
    const text = words.length ? row.textContent.toLowerCase() : "";
    const fits = words.every((word) => text.includes(word))
      && wanted.every((select) => row.cells[Number(select.dataset.column)].textContent === select.value);
    fitting += fits ? 1 : 0;
    row.hidden = !fits || fitting > most;
  }
  const drawn = Math.min(fitting, most);
  tools.querySelector("output").textContent = `${said(drawn)} of ${said(rows.length)} shown`;
  tools.querySelector("button").hidden = fitting <= most;
}

function prepare(table) {
  const tools = table.closest("section").querySelector(".tools");
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    button.addEventListener("click", () => { sortBy(table, header); show(table, tools); });
    header.replaceChildren(button);
  }
  tools.hidden = false;
  tools.addEventListener("input", () => show(table, tools));
  tools.querySelector("button").addEventListener("click", () => { tools.dataset.all = "yes"; show(table, tools); });
  show(table, tools);
}

// A finding may point at a row that is not drawn yet.
function reveal() {
  const row = document.getElementById(location.hash.slice(1));
  if (!row?.hidden) return;
  row.hidden = false;
  row.scrollIntoView({ block: "center" });
}

document.querySelectorAll("table.sortable").forEach(prepare);
addEventListener("hashchange", reveal);
reveal();
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
