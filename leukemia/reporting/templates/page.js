"use strict";
// Draws the figures that come into view, in place of their static pictures, and sorts and filters the tables.
(() => {
  const options = {
    mode: "vega-lite", ast: true, renderer: "svg", actions: false, defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };

  async function draw(figure) {
    const live = figure.querySelector(".live");
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const width = () => Math.min(spec.width, Math.floor(figure.clientWidth));
    let drawn = width();
    live.hidden = false;
    const { view } = await vegaEmbed(live, { ...spec, width: drawn }, options);
    figure.classList.add("drawn");
    new ResizeObserver(() => {
      // Zero while the page is printed.
      if (width() > 0 && width() !== drawn) {
        drawn = width();
        view.width(drawn).runAsync();
      }
    }).observe(figure);
  }

  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) {
        observer.unobserve(target);
        draw(target);
      }
    }
  }, { rootMargin: "400px" });
  document.querySelectorAll("figure > script").forEach((script) => observer.observe(script.parentElement));

  const plain = (text) => text.toLowerCase().replaceAll(" ", "");

  // "depth=18" and "score>0.8" compare a column whose name begins so; any other word is looked for in the whole row.
  function matches(row, word) {
    const found = /^([^<>=]+)(<=|>=|<|>|=)(.+)$/.exec(word);
    if (!found) return plain(row.textContent).includes(word);
    const [, name, sign, wanted] = found;
    const cell = [...row.cells].find((each) => plain(each.dataset.label).startsWith(name));
    if (!cell) return false;
    const [value, limit] = [cell.dataset.value === "" ? NaN : Number(cell.dataset.value), Number(wanted)];
    if (sign === "=") return plain(cell.textContent) === wanted || value === limit;
    if (sign === "<") return value < limit;
    if (sign === ">") return value > limit;
    return sign === "<=" ? value <= limit : value >= limit;
  }

  function compare(a, b) {
    const [x, y] = [Number(a), Number(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a.localeCompare(b);
    return x - y;
  }

  document.querySelectorAll(".grid").forEach((grid) => {
    const body = grid.querySelector("tbody");
    const rows = [...body.rows];
    const heads = [...grid.querySelectorAll("th")];
    const [input, select, order] = ["input", "select", ".order"].map((each) => grid.querySelector(each));
    let sorted = -1, sign = 1;

    function sort(column, direction) {
      [sorted, sign] = [column, direction];
      const value = (row) => row.cells[column].dataset.value;
      // What has no value stays last in both directions.
      const key = (a, b) => (value(a) === "") - (value(b) === "") || sign * compare(value(a), value(b));
      body.append(...rows.sort(key));
      heads.forEach((head) => head.removeAttribute("aria-sort"));
      heads[column].setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      select.value = column;
      order.textContent = sign > 0 ? "↑" : "↓";
    }

    function filter() {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !words.every((word) => matches(row, word));
      const shown = rows.filter((row) => !row.hidden).length;
      grid.querySelector("output").textContent = shown === rows.length ? "" : `${shown} of ${rows.length}`;
    }

    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      // Numbers start with the highest.
      const first = rows.some((row) => row.cells[column].classList.contains("number")) ? -1 : 1;
      button.addEventListener("click", () => sort(column, sorted === column ? -sign : first));
    });
    select.addEventListener("change", () => sort(Number(select.value), -1));
    order.addEventListener("click", () => sort(Number(select.value), -sign));
    input.addEventListener("input", filter);
    // As they are written.
    select.value = grid.dataset.sorted;
    grid.querySelector(".controls").hidden = false;
  });
})();
