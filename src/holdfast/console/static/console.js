// SPDX-License-Identifier: Apache-2.0
// What a page does beyond links and forms. Everything works without it: it looks again by itself where things move,
// chooses all rows at once, and keeps a form from being sent twice. No markup is made of what others wrote: parts of
// the page are replaced by the same parts of the same page, as the server wrote and escaped them.
"use strict";

(() => {
  const main = document.getElementById("main");
  const said = document.getElementById("said");
  const LOOK_MS = 250;

  // -- looking again ---------------------------------------------------------------------------------------------

  const keyed = (part) => [...part.querySelectorAll("[data-k]")];
  const holdsFocus = (node) => node.contains(document.activeElement) && node !== document.activeElement;

  // Cell by cell while the rows are the same ones, so that focus and selection stay; as a whole when they are not.
  function replacePart(old, fresh) {
    if (old.innerHTML === fresh.innerHTML) return;
    const before = keyed(old);
    const after = keyed(fresh);
    const same = before.length === after.length && before.every((one, n) => one.dataset.k === after[n].dataset.k);
    if (!same) {
      if (!holdsFocus(old)) old.replaceChildren(...fresh.childNodes);
      return;
    }
    before.forEach((one, n) => {
      if (one.innerHTML === after[n].innerHTML || holdsFocus(one)) return;
      one.className = after[n].className;
      one.replaceChildren(...after[n].childNodes);
    });
  }

  function away(text, link) {
    let banner = document.getElementById("away");
    if (!text) {
      if (banner) banner.remove();
      return;
    }
    if (!banner) {
      banner = document.createElement("p");
      banner.id = "away";
      banner.className = "away";
      banner.setAttribute("role", "status");
      main.prepend(banner);
    }
    if (banner.dataset.text === text) return;
    banner.dataset.text = text;
    banner.textContent = text + " ";
    if (link) {
      const anchor = document.createElement("a");
      anchor.href = link.href;
      anchor.textContent = link.text;
      banner.append(anchor);
    }
  }

  const timeNow = () => new Date().toISOString().slice(11, 19) + " UTC";
  let lastGood = timeNow();
  let looking = false;
  let again = false;
  let over = false;

  async function look() {
    if (over) return;
    if (looking) {
      again = true;
      return;
    }
    looking = true;
    try {
      const answer = await fetch(location.href, {
        headers: { "X-Holdfast-Live": "1", Accept: "text/html" }, credentials: "same-origin", cache: "no-store",
      });
      if (answer.redirected && new URL(answer.url).pathname === "/sign-in") {
        over = true;
        const here = encodeURIComponent(location.pathname + location.search);
        away("You are signed out, and this page stands still.", { href: "/sign-in?next=" + here, text: "Sign in" });
        return;
      }
      if (!answer.ok) {
        away(answer.status === 503 ? `What this page needs does not answer. It shows what was there at ${lastGood}.`
          : `This page cannot be loaded again (${answer.status}). It shows what was there at ${lastGood}.`);
        return;
      }
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      lastGood = timeNow();
      away("");
    } catch {
      away(`The console does not answer. This page shows what was there at ${lastGood}.`);
    } finally {
      looking = false;
      if (again) {
        again = false;
        setTimeout(look, LOOK_MS);
      }
    }
  }

  function show(fresh) {
    for (const part of document.querySelectorAll("[data-part]")) {
      const other = fresh.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
      if (other) replacePart(part, other);
    }
    const now = fresh.getElementById("main");
    if (!now) return;
    const words = now.dataset.say || "";
    if (words && words !== main.dataset.say) said.textContent = words;
    main.dataset.say = words;
    if (!now.dataset.live) over = true;
  }

  function every(seconds) {
    const timer = setInterval(() => {
      if (over) clearInterval(timer);
      else if (!document.hidden) look();
    }, seconds * 1000);
  }

  function listen() {
    let source = null;
    const begin = () => {
      source = new EventSource("/api/live");
      source.addEventListener("counts", () => {
        if (!document.hidden) look();  // guard: without loading the page again
      });
      source.addEventListener("away", look);  // guard: the page that is open says so by itself
      source.onerror = () => {
        look();
        if (source.readyState === EventSource.CLOSED && !over) setTimeout(begin, 5000);
      };
    };
    begin();
    addEventListener("pagehide", () => source.close());
  }

  const live = main.dataset.live;
  if (live === "events" && "EventSource" in window) listen();
  else if (live) every(Number(live) || 5);
  if (live) {
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) look();
    });
  }

  // -- choosing rows ---------------------------------------------------------------------------------------------

  for (const form of document.querySelectorAll("form[data-bulk]")) {
    const boxes = [...form.querySelectorAll('input[name="letter"]')];
    const head = form.querySelector("[data-all]");
    const count = form.querySelector("[data-chosen]");
    const all = document.createElement("input");
    all.type = "checkbox";
    all.setAttribute("aria-label", "Choose all letters on this page");
    const label = document.createElement("label");
    label.className = "check all";
    label.append(all, " All on this page");
    form.querySelector("fieldset legend").after(label);
    head.dataset.ready = "";
    const tell = () => {
      const chosen = boxes.filter((box) => box.checked).length;
      all.checked = chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
      count.textContent = chosen ? `${chosen} chosen` : "";
      count.classList.toggle("unseen", !chosen);
    };
    all.addEventListener("change", () => {
      for (const box of boxes) box.checked = all.checked;
      tell();
    });
    form.addEventListener("change", tell);
    tell();
  }

  // -- forms -----------------------------------------------------------------------------------------------------

  for (const form of document.querySelectorAll("form")) {
    form.addEventListener("submit", () => {
      if (form.method === "get") {
        // Empty fields only make addresses long.
        for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
        return;
      }
      // After the form's data is taken: a second press would send it twice.
      setTimeout(() => {
        for (const button of form.querySelectorAll("button")) button.disabled = true;
      });
    });
  }

  // -- back ------------------------------------------------------------------------------------------------------

  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    document.documentElement.hidden = true;  // guard: a page that was kept shows nothing before the server is asked
    location.reload();
  });
})();
