"use strict";
(() => {
  const tip = document.getElementById("tip");
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // tips: hover with a mouse, touch on a phone
  const showTip = (text, event) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(event.clientX - box.width / 2, 8), innerWidth - box.width - 8);
    const above = event.clientY - box.height - 14;
    tip.style.left = `${left}px`;
    tip.style.top = `${above < 8 ? event.clientY + 18 : above}px`;
  };
  const hideTip = () => { tip.hidden = true; };
  document.addEventListener("pointerover", (event) => {
    const mark = event.target.closest("[data-tip]");
    if (mark) showTip(mark.dataset.tip, event);
  });
  document.addEventListener("pointerout", (event) => { if (event.target.closest("[data-tip]")) hideTip(); });
  document.addEventListener("scroll", hideTip, { passive: true });

  // a variant under the pointer in the legend, or in the values of a chart, stands out in every chart
  for (const curves of all(".curves")) {
    const light = (variant) => {
      for (const part of all("[data-variant]", curves)) {
        part.classList.toggle("dim", variant !== null && part.dataset.variant !== variant);
      }
    };
    for (const item of all(".legend li, .values li", curves)) {
      item.addEventListener("pointerenter", () => light(item.dataset.variant));
      item.addEventListener("pointerleave", () => light(null));
    }
  }

  // curves: the values at the step, or the severity, under the pointer
  const short = (value) => (value >= 1e-4 && value < 1e5 ? Number(value.toPrecision(3)).toString() : value.toExponential(2));
  for (const plot of all("[data-readout]")) {
    const { name, x: [low, high], series } = JSON.parse(plot.dataset.readout);
    const cursor = document.createElement("div");
    cursor.className = "cursor";
    cursor.hidden = true;
    plot.append(cursor);
    const steps = [...new Set(series.flatMap(([, , rows]) => rows.map(([step]) => step)))].sort((a, b) => a - b);
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const wanted = low + ((event.clientX - box.left) / box.width) * (high - low);
      const step = steps.reduce((best, s) => (Math.abs(s - wanted) < Math.abs(best - wanted) ? s : best), steps[0]);
      const lines = series
        .map(([letter, , rows]) => [letter, rows.find(([s]) => s === step)])
        .filter(([, row]) => row)
        .sort((a, b) => a[1][1] - b[1][1])
        .map(([letter, row]) => `${letter}  ${short(row[1])}`);
      cursor.hidden = false;
      cursor.style.left = `${((step - low) / (high - low)) * 100}%`;
      showTip(`${name} ${step}\n${lines.join("\n")}`, event);
    });
    plot.addEventListener("pointerleave", () => { cursor.hidden = true; hideTip(); });
  }

  // sorting: by the heads of the columns, or by the list on a narrow page
  const table = document.getElementById("variants");
  if (table) {
    const heads = all("thead th", table);
    const body = table.tBodies[0];
    const sortBy = (index, descending) => {
      const value = (row) => row.cells[index].dataset.sort;
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return x === y ? 0 : x === "" ? 1 : -1; // rows without a value stay last
        const [p, q] = [Number(x), Number(y)];
        const result = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
        return descending ? -result : result;
      };
      const ownRows = [...body.rows].filter((row) => !row.classList.contains("view"));
      const withViews = (row) => [row, ...body.querySelectorAll(`tr.view[data-variant="${row.dataset.variant}"]`)];
      body.append(...ownRows.sort(order).flatMap(withViews)); // the other views stay below their variant
      heads.forEach((head, i) => {
        if (i === index) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
    };
    heads.forEach((head, index) => head.querySelector("button").addEventListener("click", () => {
      sortBy(index, head.getAttribute("aria-sort") === "ascending");
    }));
    document.getElementById("sort-select").addEventListener("change", (event) => sortBy(Number(event.target.value), false));
  }

  // files and text to paste
  const types = { svg: "image/svg+xml", json: "application/json", csv: "text/csv;charset=utf-8" };
  const save = (name, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: types[name.split(".").pop()] || "text/plain;charset=utf-8" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const held = document.getElementById("files"), files = JSON.parse(held.textContent);
  for (const button of all("[data-file]")) {
    const name = button.dataset.file;
    button.addEventListener("click", () => save(`${held.dataset.prefix}-${name}`, files[name]));
  }
  document.getElementById("save-json").addEventListener("click", () => {
    save(`${held.dataset.prefix}-records.json`, document.getElementById("records").textContent);
  });
  for (const button of all("[data-copy]")) {
    const source = document.getElementById(button.dataset.copy), label = button.textContent;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch { // not allowed here: select it, so that one key copies it
        getSelection().selectAllChildren(source);
        button.textContent = "Selected: copy with Ctrl+C";
      }
      setTimeout(() => { button.textContent = label; }, 2500);
    });
  }

  // paper has no toggles: print the reasons and the definitions; the runs are in the records
  addEventListener("beforeprint", () => all("details.why, .definitions").forEach((part) => {
    part.closest("details").open = true;
  }));
})();
