// The page around the viewer: theme, and following one patient through all charts.
"use strict";
(() => {
  const dark = () => document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  document.querySelector(".theme").addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; });

  const marked = [...document.querySelectorAll("[data-patient]")];
  const follow = (patient) => {
    document.body.classList.toggle("following", Boolean(patient));
    for (const element of marked) element.classList.toggle("followed", element.dataset.patient === patient);
  };
  const picker = document.querySelector("[name=dvh-patient]");
  const chosen = () => (picker ? picker.value : "");
  if (picker) {
    picker.addEventListener("change", () => {
      document.getElementById("dvh").classList.toggle("one", Boolean(picker.value));
      follow(picker.value);
    });
  }
  for (const group of document.querySelectorAll("#cohort [data-patient], #paired [data-patient], #delay [data-patient]")) {
    group.addEventListener("pointerenter", () => follow(group.dataset.patient));
    group.addEventListener("pointerleave", () => follow(chosen()));
  }

  const viewer = document.getElementById("viewer");
  const data = JSON.parse(lacuna.text("lacuna-data"));
  lacuna.running = lacuna.viewer(viewer, data);
})();
