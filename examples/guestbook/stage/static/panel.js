// Draws the chart again every second, as the server renders it, with the values of the second that is pointed at.
const chart = document.getElementById("chart");
const ago = document.getElementById("ago");
const then = document.getElementById("then");
let asked = 0;
let shown = 0;

async function draw() {
  const number = ++asked;
  const at = ago.value;
  try {
    const answer = await fetch(`/chart?at=${at}`);
    const drawn = await answer.text();
    if (!answer.ok || number < shown) return;
    shown = number;
    chart.innerHTML = drawn;
    then.value = at === "0" ? "now" : `${-at} s ago`;
    ago.setAttribute("aria-valuetext", chart.firstElementChild.dataset.words);
  } catch {
    chart.classList.add("over"); // the stage has ended
  }
}

async function goOn() {
  if (!document.hidden) await draw();
  setTimeout(goOn, 1000);
}

function read(at) {
  if (Number(ago.value) === at) return;
  ago.value = at;
  draw();
}

function point(event) {
  const plot = event.target.closest(".plot, .strip")?.querySelector("svg").getBoundingClientRect();
  if (plot) read(Math.round(Math.min(Math.max((event.clientX - plot.left) / plot.width, 0), 1) * -ago.min) + Number(ago.min));
}

ago.addEventListener("input", draw);
chart.addEventListener("pointerdown", point);
chart.addEventListener("pointermove", point);
chart.addEventListener("pointerleave", event => event.pointerType === "mouse" && read(0));
setTimeout(goOn, 1000);
