// SPDX-License-Identifier: Apache-2.0
// What the page does besides being read: tables are sorted and searched, the flame graph is walked. Nothing is fetched.
"use strict";

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numbers = head.classList.contains("num");
      const down = head.hasAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : numbers;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => numbers ? Number(row.cells[column].dataset.v) : row.cells[column].textContent;
      const order = (a, b) => numbers ? key(a) - key(b) : key(a).localeCompare(key(b));
      body.append(...[...body.rows].sort((a, b) => down ? order(b, a) : order(a, b)));
    });
  }
}

for (const box of document.querySelectorAll(".find[hidden]")) {
  const rows = document.getElementById(box.dataset.of).tBodies[0].rows;
  const field = box.querySelector("input"), said = box.querySelector("output");
  box.hidden = false;
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase();
    let found = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      found += row.hidden ? 0 : 1;
    }
    said.textContent = wanted ? `${found} of ${rows.length}` : "";
  });
}

for (const flame of document.querySelectorAll("svg.flame")) {
  const frames = [...flame.querySelectorAll(".frame")].map((at) => ({
    at, x: Number(at.dataset.x), w: Number(at.dataset.w), d: Number(at.dataset.d), text: at.querySelector("title").textContent,
  }));
  const said = document.getElementById("flame-said");
  if (!frames.length) continue;
  flame.setAttribute("role", "group");
  for (const one of frames) {
    one.at.setAttribute("role", "button");
    one.at.setAttribute("aria-label", one.text);
    one.at.setAttribute("tabindex", "-1");
  }
  let here = frames[0], zoomed = null;
  here.at.setAttribute("tabindex", "0");
  const within = (one, of) => one.x >= of.x - 1e-6 && one.x + one.w <= of.x + of.w + 1e-6;
  const seen = (one) => !one.at.hasAttribute("display");
  const zoom = (to) => {
    zoomed = to;
    for (const one of frames) {
      const above = to && one.d < to.d && within(to, one);
      const shown = !to || above || (one.d >= to.d && within(one, to));
      shown ? one.at.removeAttribute("display") : one.at.setAttribute("display", "none");
      one.at.setAttribute("x", `${to && !above ? 100 * (one.x - to.x) / to.w : above ? 0 : 100 * one.x}%`);
      one.at.setAttribute("width", `${to && !above ? 100 * one.w / to.w : above ? 100 : 100 * one.w}%`);
    }
  };
  const go = (to) => {
    if (!to) return;
    here.at.setAttribute("tabindex", "-1");
    here = to;
    here.at.setAttribute("tabindex", "0");
    here.at.focus();
    said.textContent = to.text;
  };
  const beside = (step) => frames.filter((one) => one.d === here.d && seen(one))
    .sort((a, b) => a.x - b.x).find((one, n, row) => row[n - step] === here);
  const ways = {
    ArrowDown: () => go(frames.find((one) => one.d === here.d + 1 && seen(one) && within(one, here))),
    ArrowUp: () => go(frames.find((one) => one.d === here.d - 1 && seen(one) && within(here, one))),
    ArrowRight: () => go(beside(1)), ArrowLeft: () => go(beside(-1)), Escape: () => zoom(null),
    Enter: () => zoom(zoomed === here ? null : here), " ": () => zoom(zoomed === here ? null : here),
  };
  flame.addEventListener("keydown", (event) => {
    if (ways[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      ways[event.key]();
    }
  });
  flame.addEventListener("click", (event) => {
    const hit = frames.find((one) => one.at === event.target.closest(".frame"));
    if (hit) {
      go(hit);
      zoom(zoomed === hit ? null : hit);
    }
  });
  flame.addEventListener("mouseover", (event) => {
    const hit = frames.find((one) => one.at === event.target.closest(".frame"));
    if (hit) said.textContent = hit.text;
  });
}

const open = () => {
  const named = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named && named.tagName === "DETAILS") named.open = true;
};
addEventListener("hashchange", open);
open();
