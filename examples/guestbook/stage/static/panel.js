// Draws the chart again every second, as the server renders it.
const chart = document.getElementById("chart");

async function draw() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/chart");
      if (answer.ok) chart.innerHTML = await answer.text();
    } catch {
      chart.classList.add("over"); // the stage has ended
    }
  }
  setTimeout(draw, 1000);
}

setTimeout(draw, 1000);
