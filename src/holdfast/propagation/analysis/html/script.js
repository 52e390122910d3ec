// SPDX-License-Identifier: Apache-2.0
// What the page does besides being read: timelines are played and scrubbed. Nothing is fetched.
"use strict";

const PLAY_MS = 6000;

for (const line of document.querySelectorAll(".timeline")) {
  const last = Number(line.dataset.last);
  const player = line.querySelector(".player"), button = player.querySelector("button");
  const slider = player.querySelector("input"), said = player.querySelector(".now");
  const all = line.querySelectorAll(".dot").length;
  const dots = [...line.querySelectorAll(".dot[data-t]")].map((at) => ({ at, t: Number(at.dataset.t) }))
    .sort((a, b) => a.t - b.t);
  let have = dots.length, timer = 0;
  if (last <= 0) continue;
  player.hidden = false;

  const show = () => {
    const now = last * Number(slider.value) / 1000;
    while (have < dots.length && dots[have].t <= now + 1e-6) dots[have++].at.classList.remove("waits");
    while (have > 0 && dots[have - 1].t > now + 1e-6) dots[--have].at.classList.add("waits");
    const text = `${now.toFixed(3)} s: ${have} of ${all} have it`;
    said.textContent = text;
    slider.setAttribute("aria-valuetext", text);
  };
  const stop = () => {
    cancelAnimationFrame(timer);
    timer = 0;
    button.textContent = "Play";
  };
  const play = () => {
    if (Number(slider.value) >= 1000) slider.value = 0;
    const from = Number(slider.value);
    let began = null;
    button.textContent = "Pause";
    const step = (at) => {
      began ??= at;
      slider.value = Math.min(1000, from + 1000 * (at - began) / PLAY_MS);
      show();
      Number(slider.value) < 1000 ? timer = requestAnimationFrame(step) : stop();
    };
    timer = requestAnimationFrame(step);
  };
  button.addEventListener("click", () => timer ? stop() : play());
  slider.addEventListener("input", () => {
    if (timer) stop();
    show();
  });
  show();
}
