"use strict";
// Sorting and filtering of the two tables, and ladders on click; without this script they are plain tables.
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
    if (!row.hidden) addLadderButton(row);
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

// A connection's packets in order, each an arrow between the lines of client and server.
const ladder = document.getElementById("ladder");
const listed = (id) => document.getElementById(id).children;
const element = (name, className, text) => Object.assign(document.createElement(name), { className, textContent: text });

function duration(microseconds) {
  const size = Math.abs(microseconds);
  const [scale, unit] = size >= 1e6 ? [1e6, "s"] : size >= 1e3 ? [1e3, "ms"] : [1, "µs"];
  return microseconds === 0 ? "0 s" : `${microseconds > 0 ? "+" : ""}${Number((microseconds / scale).toPrecision(4))} ${unit}`;
}

// Three numbers of each step: the record, microseconds since the first step, and which of the words it is.
function stepRow([record, after, word], words, captures) {
  const { capture, sender } = words[word].dataset;
  const side = { c: "client", s: "server" }[sender] ?? "third";
  const row = document.createElement("tr");
  const of = captures.length > 1 ? ` of ${captures[Number(capture)].textContent}` : "";
  const lane = element("td", `lane ${side}`, "");
  lane.append(element("span", "what", words[word].textContent));
  lane.append(element("span", "arrow", side === "third" ? "" : ` from the ${side}`));
  row.append(element("td", "n", record + of), element("td", "n", duration(after)), lane);
  return row;
}

function openLadder(name) {
  const row = document.getElementById(name);
  const [words, captures] = [listed("ladder-words"), listed("ladder-captures")];
  const [client, server, asked] = [3, 4, 5].map((column) => row.cells[column].textContent);
  ladder.querySelector("h2").textContent = `${name}: ${row.cells[1].textContent} over ${row.cells[2].textContent}, ${row.cells[6].textContent}`;
  const [left, right] = ladder.querySelectorAll("th.lane span");
  left.textContent = `client ${client}`;
  right.textContent = `server ${server}${asked ? ` ${asked}` : ""}`;
  const numbers = row.dataset.steps.split(",").map(Number);
  const steps = Array.from({ length: numbers.length / 3 }, (_, place) => numbers.slice(3 * place, 3 * place + 3));
  ladder.querySelector("tbody").replaceChildren(...steps.map((step) => stepRow(step, words, captures)));
  ladder.querySelector(".more").textContent = row.dataset.ending ?? "";
  ladder.querySelector(".notes").textContent = row.dataset.notes ?? "";
  ladder.showModal();
}

// Made when the row is first shown: thousands of buttons take a browser long.
function addLadderButton(row) {
  if (!row.dataset.steps || row.cells[0].firstElementChild) return;
  const button = element("button", "ladder", row.cells[0].textContent);
  button.type = "button";
  button.title = "show its packets";
  button.dataset.connection = row.id;
  row.cells[0].replaceChildren(button);
}

function prepareLadders() {
  for (const button of document.querySelectorAll("dd button.ladder")) {
    button.hidden = !document.getElementById(button.dataset.connection)?.dataset.steps;
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.ladder");
    if (button) openLadder(button.dataset.connection);
    if (event.target === ladder || event.target.closest("dialog .close")) ladder.close();
  });
}
if (ladder) prepareLadders();

// A finding may point at a row that is not drawn yet.
function reveal() {
  const row = document.getElementById(location.hash.slice(1));
  if (!row?.hidden) return;
  row.hidden = false;
  addLadderButton(row);
  row.scrollIntoView({ block: "center" });
}

document.querySelectorAll("table.sortable").forEach(prepare);
addEventListener("hashchange", reveal);
reveal();
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
