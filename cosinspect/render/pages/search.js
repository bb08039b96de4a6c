for (const field of document.querySelectorAll("input[type=search]")) {
  const rows = [...document.querySelectorAll(field.dataset.rows)];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const count = document.getElementById(field.dataset.count);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, number) => {
      const fits = words.every((word) => texts[number].includes(word));
      row.hidden = !fits;
      shown += fits;
    });
    if (count) count.textContent = words.length ? `${shown} of ${rows.length}` : `${rows.length}`;
  });
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = cell.querySelector("button");
    if (!button) return;
    let down = false;
    button.addEventListener("click", () => {
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows].sort((one, other) =>
        value(one).localeCompare(value(other), "en", { numeric: true }));
      if (down) rows.reverse();
      down = !down;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "ascending" : "descending");
      table.tBodies[0].append(...rows);
    });
  });
}
