// Draws the specifications that the page carries, each into the element that is named by its number.
"use strict";
const { config, specifications } = JSON.parse(document.getElementById("charts").textContent);
specifications.forEach((specification, number) => {
  const place = document.getElementById(`chart-${number + 1}`);
  vegaEmbed(place, specification, {
    ast: true, actions: false, config, renderer: "svg", tooltip: { theme: "page", disableDefaultStyle: true },
  }).then(() => place.classList.add("drawn"));
});
