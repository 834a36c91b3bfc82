"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const main = document.createElement("main");
document.body.append(main);
document.title = DATA.title;

/* An element with properties and children; text stays text, whatever the names hold. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function picture(number, text) {
  const image = make("img", { alt: text, title: text, src: DATA.images[number], decoding: "async" });
  image.onerror = () => { image.alt = `${text}: this image is gone`; };
  return image;
}

main.append(make("h1", {}, DATA.title), make("p", { className: "muted" }, DATA.text));
