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

  // clouds that can be turned, all of a drawing together
  for (const drawing of all(".drawing svg")) {
    const groups = all("[data-cloud]", drawing).map((group) => ({ group, ...JSON.parse(group.dataset.cloud) }));
    if (!groups.length) continue;
    const make = (name, attributes) => {
      const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
      return shape;
    };
    let turn = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    const times = (a, b) => a.map((row) => [0, 1, 2].map((k) => row[0] * b[0][k] + row[1] * b[1][k] + row[2] * b[2][k]));
    const draw = () => {
      for (const { group, points, colors, radii, bonds, scale } of groups) {
        const at = points.map((p) => turn.map((row) => scale * (row[0] * p[0] + row[1] * p[1] + row[2] * p[2])));
        const shapes = bonds.map(([i, j]) => [Math.min(at[i][2], at[j][2]) - 0.01, make("line", {
          x1: at[i][0], y1: -at[i][1], x2: at[j][0], y2: -at[j][1],
          stroke: "#8a929b", "stroke-width": Math.max(1, 0.14 * scale),
        })]);
        at.forEach(([x, y, z], i) => shapes.push([z, make("circle", {
          cx: x, cy: -y, r: Math.max(1.5, scale * radii[i]), fill: colors[i], stroke: "#16191d", "stroke-width": 0.7,
        })]));
        group.replaceChildren(...shapes.sort((a, b) => a[0] - b[0]).map(([, shape]) => shape));
      }
    };
    const turnBy = (right, down) => { // radians about the vertical, then about the horizontal
      const [c, s, d, t] = [Math.cos(right), Math.sin(right), Math.cos(down), Math.sin(down)];
      turn = times([[1, 0, 0], [0, d, -t], [0, t, d]], times([[c, 0, s], [0, 1, 0], [-s, 0, c]], turn));
      draw();
    };
    drawing.classList.add("turning");
    drawing.setAttribute("tabindex", "0");
    let held = null;
    drawing.addEventListener("pointerdown", (event) => {
      held = [event.clientX, event.clientY];
      drawing.setPointerCapture(event.pointerId);
    });
    drawing.addEventListener("pointermove", (event) => {
      if (!held) return;
      turnBy((event.clientX - held[0]) / 80, (event.clientY - held[1]) / 80);
      held = [event.clientX, event.clientY];
    });
    for (const name of ["pointerup", "pointercancel"]) drawing.addEventListener(name, () => { held = null; });
    const keys = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] };
    drawing.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      turnBy(...keys[event.key]);
    });
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
