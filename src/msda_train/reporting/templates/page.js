"use strict";
// The page is whole without this. A link to a folded part unfolds it; a table's heads sort its rows.
const unfold = () => {
  for (let e = document.getElementById(location.hash.slice(1)); e; e = e.parentElement)
    if (e.tagName === "DETAILS") e.open = true;
};
addEventListener("hashchange", unfold);
unfold();

const worth = (row, place) => {
  const text = row.children[place] ? row.children[place].textContent.trim() : "";
  const number = /^[-+−±]?[\d,]*\.?\d+/.exec(text);
  return number ? parseFloat(number[0].replace(/,/g, "").replace("−", "-")) : text;
};
const order = (a, b) =>
  typeof a === typeof b ? (typeof a === "number" ? a - b : a.localeCompare(b)) : typeof a === "number" ? -1 : 1;
const sort = (table, head) => {
  const place = [...head.parentElement.children].indexOf(head);
  const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.querySelector("th[scope=rowgroup]"));
    rows.sort((a, b) => down * order(worth(a, place), worth(b, place)));
    body.append(...rows);
  }
};
for (const table of document.querySelectorAll("table.sortable"))
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(table, head));
  }
