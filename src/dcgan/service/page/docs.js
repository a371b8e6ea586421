// Shows /openapi.json: every operation with what it takes, an example, and what it answers.
const $ = (id) => document.getElementById(id);

function element(tag, text, ...children) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

const resolved = (schema, api) => (schema?.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema);

function kindOf(schema, api) {
  const found = resolved(schema, api);
  if (!found) return "any";
  if (found.anyOf) return found.anyOf.map((each) => kindOf(each, api)).join(" or ");
  if (found.type === "array") return `list of ${kindOf(found.items, api)}`;
  const bounds = [
    found.minimum !== undefined && `≥ ${found.minimum}`, found.exclusiveMinimum !== undefined && `> ${found.exclusiveMinimum}`,
    found.maximum !== undefined && `≤ ${found.maximum}`,
  ].filter(Boolean).join(", ");
  return [found.title && found.type === "object" ? found.title : found.type ?? "any", bounds].filter(Boolean).join(" ");
}

function fieldsOf(schema, api) {
  const table = element("table");
  table.append(element("tr", "", element("th", "field"), element("th", "type"), element("th", "default"), element("th", "meaning")));
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const preset = schema.required?.includes(name) ? "required" : JSON.stringify(field.default ?? null);
    const cells = [name, kindOf(field, api), preset, field.description ?? ""].map((text) => element("td", text));
    table.append(element("tr", "", ...cells));
  }
  return table;
}

function exampleOf(path, method, body) {
  const given = Object.fromEntries(Object.entries(body?.properties ?? {}).filter(([name]) => body.required?.includes(name))
    .map(([name, field]) => [name, field.type === "integer" ? 1 : field.type === "array" ? [] : ""]));
  const data = body ? ` -H 'Content-Type: application/json' -d '${JSON.stringify(given)}'` : "";
  return `curl -sS${method === "post" ? " -X POST" : ""} ${decodeURI(new URL(`.${path}`, document.baseURI))}${data}`;
}

function show(api) {
  const sections = Object.entries(api.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => {
    const body = resolved(operation.requestBody?.content?.["application/json"]?.schema, api);
    const section = element("section", "", element("h2", `${method.toUpperCase()} ${path}`), element("p", operation.description));
    if (body) section.append(fieldsOf(body, api));
    const media = Object.keys(operation.responses["200"]?.content ?? {}).join(", ");
    const refusals = Object.entries(operation.responses).filter(([status]) => status !== "200").map(([status, each]) => `${status} ${each.description}`);
    section.append(
      element("p", `Answers ${media || "text"}.`),
      element("pre", "", element("code", exampleOf(path, method, body))),
      element("details", "", element("summary", "Refusals"), element("ul", "", ...refusals.map((each) => element("li", each)))),
    );
    return section;
  }));
  $("operations").replaceChildren(...sections);
}

async function load() {
  const headers = $("key").value ? { authorization: `Bearer ${$("key").value}` } : {};
  const response = await fetch("openapi.json", { headers });
  if (response.ok) return show(await response.json());
  $("key-row").hidden = response.status !== 401;
  return $("operations").replaceChildren(element("p", (await response.json()).error));
}

$("key").addEventListener("change", load);
load();
