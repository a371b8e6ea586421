// The page's only script: reads the form, asks the service, shows what it answers.
const $ = (id) => document.getElementById(id);
const INTERPOLATION_STEPS = 32;
const SIDE = 28;

const DIGITS = [..."0123456789"];
const DATASETS = { mnist: "MNIST", fashion_mnist: "Fashion-MNIST", kmnist: "KMNIST", digits: "scikit-learn's digits", images: "somebody's own images" };
let classes = [];

// A name may be any text of the model's file.
function offer(names) {
  if (names.join("\n") === classes.join("\n")) return;
  classes = names;
  const choices = document.querySelector(".choices");
  choices.classList.toggle("named", names.some((name) => name.length > 1));
  choices.replaceChildren(...names.map((name, digit) => {
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", name: "digit", value: digit });
    label.append(box, name);
    return label;
  }));
  $("interpolation-digit").replaceChildren(...names.map((name, digit) => new Option(name, digit, digit === 3, digit === 3)));
}

offer(DIGITS);

const chosenDigits = () => [...document.querySelectorAll("[name=digit]:checked")].map((box) => Number(box.value));

function imagesRequest() {
  const digits = conditional ? chosenDigits() : [];
  return {
    count: $("count").valueAsNumber,
    digits: digits.length ? digits : null,
    seed: $("seed").valueAsNumber,
    truncation: $("truncation").valueAsNumber,
  };
}

function curl() {
  const key = $("key").value ? " -H \"Authorization: Bearer $DCGAN_API_KEY\"" : "";
  const body = JSON.stringify(imagesRequest());
  return `curl -sS ${new URL("v1/images", document.baseURI)} -H 'Content-Type: application/json' -H 'Accept: image/png'${key} -d '${body}' -o digits.png`;
}

const headersFor = (more) => ({ ...more, ...($("key").value && { authorization: `Bearer ${$("key").value}` }) });

let conditional = true;

// A model that cannot be told which digit to draw gets no choices; one that keeps itself to itself (401) gets ten.
async function offerWhatCanBeAsked() {
  const response = await fetch("v2/models/generator/config", { headers: headersFor({}) });
  if (!response.ok) return;
  const { parameters } = await response.json();
  const count = Number(parameters.num_classes.string_value);
  conditional = count > 0;
  const named = parameters.class_names?.string_value;
  if (conditional) offer(named ? JSON.parse(named) : Array.from({ length: count }, (_, digit) => String(digit)));
  if (named) for (const [id, text] of Object.entries({ title: "Generated images", classes: "Classes", class: "Class" })) $(id).textContent = text;
  $("dataset").textContent = DATASETS[parameters.dataset.string_value] ?? parameters.dataset.string_value;
  $("digits").hidden = $("interpolation-digit").parentElement.hidden = !conditional;
}

async function ask(path, body, accept) {
  const headers = headersFor({ "content-type": "application/json", accept });
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  if (response.ok) return response;
  if (response.status === 401) $("key-row").hidden = false;
  const told = await response.json().catch(() => ({ error: response.statusText }));
  throw new Error(told.error);
}

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

let asked = 0;

async function draw() {
  if (!$("settings").reportValidity()) return;
  const request = imagesRequest();
  const turn = (asked += 1);
  const started = performance.now();
  try {
    const response = await ask("v1/images", request, "image/png");
    const blob = await response.blob();
    if (turn !== asked) return; // a later request has been made meanwhile
    URL.revokeObjectURL($("grid").src);
    $("grid").src = $("download").href = URL.createObjectURL(blob);
    const named = request.digits?.map((digit) => classes[digit]).join(", ");
    const all = classes.join("") === DIGITS.join("") ? "digits 0 to 9 in turn" : `${classes.length} classes in turn`;
    const what = named ? `the digit${request.digits.length > 1 ? "s" : ""} ${named}` : conditional ? all : "any digits";
    $("grid").alt = `${request.count} handwritten images of ${what}, from seed ${request.seed}`;
    $("download").hidden = false;
    say(`${request.count} images in ${Math.round(performance.now() - started)} ms`);
  } catch (error) {
    if (turn === asked) say(error.message, true);
  }
}

let steps = [];
let interpolationsAsked = 0;

async function fetchInterpolation() {
  const fields = [$("from-seed"), $("to-seed")];
  if (!fields.every((field) => field.reportValidity())) return;
  const [from_seed, to_seed] = fields.map((field) => field.valueAsNumber);
  const request = { from_seed, to_seed, steps: INTERPOLATION_STEPS, digit: conditional ? Number($("interpolation-digit").value) : null, truncation: $("truncation").valueAsNumber };
  const turn = (interpolationsAsked += 1);
  try {
    const response = await ask("v1/walks", request, "application/json");
    const { images } = await response.json();
    if (turn !== interpolationsAsked) return; // as in draw
    steps = images;
    showStep();
  } catch (error) {
    if (turn === interpolationsAsked) say(error.message, true);
  }
}

async function drawAll() {
  await offerWhatCanBeAsked().catch(() => {}); // drawing tells what is wrong
  draw();
  fetchInterpolation();
}

function showStep() {
  const index = $("step").valueAsNumber;
  document.querySelector("output[for=step]").value = `${index + 1}/${INTERPOLATION_STEPS}`;
  if (!steps.length) return;
  const context = $("interpolation").getContext("2d");
  const image = context.createImageData(SIDE, SIDE);
  steps[index].flat().forEach((ink, at) => image.data.set([ink, ink, ink, 255], 4 * at));
  context.putImageData(image, 0, 0);
}

function showTruncation() {
  document.querySelector("output[for=truncation]").value = $("truncation").valueAsNumber.toFixed(2);
}

$("settings").addEventListener("submit", (event) => { event.preventDefault(); drawAll(); });
$("digits").addEventListener("change", draw);
$("truncation").addEventListener("input", showTruncation);
$("truncation").addEventListener("change", () => { draw(); fetchInterpolation(); });
$("another").addEventListener("click", () => { $("seed").value = Math.floor(Math.random() * 1e6); draw(); });
for (const id of ["from-seed", "to-seed", "interpolation-digit"]) $(id).addEventListener("change", fetchInterpolation);
$("step").addEventListener("input", showStep);
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(curl()).then(() => say("Copied."), () => say(curl()));
});

showTruncation();
showStep();
drawAll();
