"use strict"
// The server decides; this page only shows what it says. Words of a decision come from the answer, never from here.
const at = id => document.getElementById(id)
const TONES = {"fracture reported": "alarm", "no fracture reported": "clear", "class reported": "clear", "a person must look": "look"}
const SIGNS = {alarm: "▲", clear: "●", look: "◆"}
const KEPT = 50  // last answers of this session, without pictures: they outlive a reload, not the tab
const studies = JSON.parse(sessionStorage.getItem("studies") || "[]")
let model = {}, shown = null, token = sessionStorage.getItem("token") || ""

const words = name => name.replaceAll("_", " ")
const sentence = text => text.charAt(0).toUpperCase() + text.slice(1)
const percent = share => (100 * share).toFixed(share > 0 && share < .001 ? 2 : 1) + "%"
const made = (tag, text = "", name = "") => Object.assign(document.createElement(tag), {textContent: text, className: name})
const ask = (path, options = {}) => fetch(path, {...options, headers: {...options.headers, ...token && {Authorization: "Bearer " + token}}})

async function start() {
  const reply = await ask("model")
  askToken(reply.status === 401)
  if (!reply.ok) return
  model = await reply.json()
  at("model").textContent = [model.title, model.date.replaceAll("-", "\u2011")].filter(Boolean).join(", ")  // no line ends in a date
  at("synthetic").hidden = !model.synthetic
  at("rule").replaceChildren(...model.rule.map(line => made("li", line)))
  const facts = [["Model", model.model], ["Name", model.title], ["Made", model.date], ["Run", model.run],
    ["Weights", model.weights_sha256.slice(0, 12)], ["Trained on", model.data || "not known here"],
    ["Classes", model.classes.map(words).join(", ")], ["How it decides", model.rule.join(" ")],
    ["Licence", model.license]]
  at("facts").replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) => [made("dt", name), made("dd", value)]))
  at("figures").hidden = false
  at("figure-rows").replaceChildren(...model.figures.map(one => {
    const row = made("tr"), head = made("th", one.name)
    head.scope = "row"
    row.append(head, made("td", (100 * one.value).toFixed(0)),
      made("td", one.caution || `${(100 * one.low).toFixed(0)} to ${(100 * one.high).toFixed(0)}`, one.caution && "quiet"), made("td", one.n.toLocaleString("en")))
    return row
  }))
  at("tested").textContent = model.figures.length ? `On ${model.tested}. Other hospitals, devices and patients may give other figures.` : "Not known: the model was loaded without the run that trained it."
  at("figures").querySelector("table").hidden = !model.figures.length
  at("docs").hidden = Boolean(token)
  at("by").value = sessionStorage.getItem("by") || ""
  if (studies.length && !shown) select(studies.at(-1))
}

function askToken(needed) {
  const asked = !at("ask-token").hidden
  at("ask-token").hidden = !needed
  at("token-problem").textContent = needed && token ? "This server has another token." : ""
  if (needed) at("token").focus()
  else if (asked) at("file").focus()  // a keyboard goes on where the form was
}

async function add(files) {
  const fresh = [...files].map(file => ({name: file.name, file, answer: null}))
  studies.push(...fresh)
  list()
  select(fresh[0])
  for (const study of fresh) {
    study.answer = await predict(study.file)
    keep()
    list()
    if (study === shown) show(study)
  }
}

function keep() {
  const answered = studies.filter(study => study.answer).slice(-KEPT)
  const plain = answered.map(({name, answer: {radiograph, heat_map, ...answer}, truth}) => ({name, answer, truth}))
  try { sessionStorage.setItem("studies", JSON.stringify(plain)) } catch { /* no room: the list is lost on a reload */ }
}

async function predict(file) {
  const form = new FormData()
  form.append("files", file)
  form.append("heat_map", "true")
  form.append("radiograph", "true")
  try {
    const reply = await ask("predict", {method: "POST", body: form}), body = await reply.json()
    if (reply.status === 401) askToken(true)
    if (!reply.ok) throw new Error(body.detail)
    if (["title", "version", "weights_sha256"].some(name => body[name] !== model[name])) await start()  // another model answers now
    const {classes, healthy_class, fracture_threshold, coverage} = model  // kept, as the next answer may be of another model
    return {...body.answers[0], by: {title: body.title, classes, healthy_class, fracture_threshold, coverage}}
  } catch (error) {
    const said = error instanceof TypeError ? "the server does not answer" : error.message
    return {decision: "a person must look", label: "", fracture: null, probabilities: {}, reason: "", error: said}
  }
}

function list() {
  const focused = [...at("images").querySelectorAll("button")].indexOf(document.activeElement)  // by the keyboard
  at("images").replaceChildren(...studies.map(study => {
    const item = made("li"), button = made("button"), text = made("span"), answer = study.answer
    const thumb = made(answer?.radiograph ? "img" : "span", "", "thumb")
    if (answer?.radiograph) { thumb.src = answer.radiograph; thumb.alt = "" }
    const tone = answer ? TONES[answer.decision] : ""
    text.append(made("span", answer ? `${SIGNS[tone]} ${sentence(answer.error ? "Not read" : answer.decision)}` : "Reading …", "said " + tone),
      made("span", study.name, "file"), made("span", study.truth ? `Really: ${words(study.truth)}` : "", "file"))
    button.type = "button"
    button.setAttribute("aria-current", study === shown)
    button.append(thumb, text)
    button.onclick = () => select(study)
    item.append(button)
    return item
  }))
  if (focused >= 0) at("images").querySelectorAll("button")[focused].focus({preventScroll: true})
}

function select(study) {
  shown = study
  list()
  const strip = at("images"), chosen = strip.querySelector("[aria-current=true]").parentElement
  strip.scrollLeft = chosen.offsetLeft - strip.offsetLeft  // on a phone the images lie side by side
  show(study)
}

function show(study) {
  const answer = study.answer
  at("empty").hidden = true
  at("study").hidden = false
  at("name").textContent = study.name + (answer?.by ? `, answered by ${answer.by.title}` : "")
  at("said").className = answer ? TONES[answer.decision] : ""
  at("decision").textContent = answer ? `${SIGNS[TONES[answer.decision]]} ${sentence(answer.decision)}` : "Reading …"
  at("reason").textContent = answer ? why(answer) : ""
  at("possible").textContent = answer?.possible_in_words ? `${sentence(words(answer.possible_in_words))}.` : ""
  at("coverage").textContent = answer?.possible_in_words && answer.by ? answer.by.coverage : ""
  showPictures(study)
  showShares(answer)
  showTruth(study)
}

function showTruth(study) {
  at("correct").hidden = !model.feedback || !study.answer?.sha256 || Boolean(study.answer.error)
  const classes = Object.keys(study.answer?.probabilities || {})  // of the model that answered, which another may have replaced
  at("truth").replaceChildren(new Option("Choose", ""), ...classes.map(name => new Option(words(name), name)))
  at("truth").value = study.truth || ""
  at("kept").textContent = study.truth ? `Saved: ${words(study.truth)}.` : ""
  showEarlier(study)
}

const differs = (said, study) => said?.label && (said.by !== sessionStorage.getItem("by") || said.label !== study.truth)
const quoted = said => `${said.by}, ${said.time.slice(0, 10)}: ${words(said.label)}.`

async function showEarlier(study) {  // what another reader has said: the last word counts
  at("earlier").hidden = true
  if (at("correct").hidden) return
  let said = null
  try {
    const reply = await ask("feedback?sha256=" + study.answer.sha256)
    if (reply.ok) said = await reply.json()
  } catch { /* it is only not shown */ }
  if (study !== shown || !differs(said, study)) return
  at("earlier").hidden = false
  at("earlier").textContent = `Stored already: ${quoted(said)} What you save replaces it.`
}

async function correct(study) {
  const said = {sha256: study.answer.sha256, label: at("truth").value, by: at("by").value.trim()}
  sessionStorage.setItem("by", said.by)
  let problem = "", replaced = null
  try {
    const reply = await ask("feedback", {method: "POST", body: JSON.stringify(said), headers: {"Content-Type": "application/json"}})
    const body = await reply.json()
    if (!reply.ok) problem = body.detail
    else if (differs(body.replaces, study)) replaced = body.replaces
  } catch { problem = "the server does not answer" }
  if (!problem) { study.truth = said.label; keep(); list() }
  if (study !== shown) return
  showTruth(study)
  if (replaced) at("kept").textContent += ` Before: ${quoted(replaced)}`
  if (problem) { at("truth").value = said.label; at("kept").textContent = `Not saved: ${problem}.` }
}

function why(answer) {
  if (answer.error) return `${sentence(answer.error)}.`
  const {classes, healthy_class} = answer.by || model, kinds = classes.filter(name => name !== healthy_class)
  const kind = answer.fracture && kinds.length > 1 || answer.fracture === null ? `Most probable ${answer.fracture ? "kind" : "class"}: ${words(answer.label)}.` : ""
  const besides = answer.fracture === null ? "" : `Otherwise it would say: ${answer.fracture ? "fracture" : "no fracture"} reported.`
  return answer.reason ? [`${sentence(answer.reason)}.`, besides, kind].filter(Boolean).join(" ") : kind
}

function showPictures(study) {
  const answer = study.answer, picture = answer?.radiograph, heat = answer?.heat_map
  at("seen").hidden = !picture
  at("nothing").hidden = Boolean(picture)
  at("nothing").textContent = !answer ? "Reading …" : study.file ? "There is no picture of this file." : "Pictures are not kept over a reload: choose the file again to see it."
  if (picture) { at("seen").src = picture; at("seen").alt = `The radiograph ${study.name}, as it was decoded` }
  at("compare").hidden = at("legend").hidden = !heat
  if (heat) {
    at("heat").src = heat
    at("heat").alt = `The same with the evidence for ${words(answer.label)}`
    at("about-heat").textContent = `Evidence for “${words(answer.label)}”. It shows what the model used, not where a fracture is.`
  }
  blend()
}

function blend() {
  const on = at("toggle").getAttribute("aria-pressed") === "true"
  at("heat").hidden = !on || !shown?.answer?.heat_map
  at("heat").style.opacity = at("slider").value / 100
}

function showShares(answer) {
  const shares = Object.entries(answer?.probabilities || {}).sort((a, b) => b[1] - a[1])
  at("kinds").hidden = !shares.length
  at("shares").replaceChildren(...shares.map(([name, share]) => {
    const row = made("tr", "", name === answer.label ? "kind" : ""), head = made("th", words(name)), cell = made("td", "", "share")
    const bar = made("div", "", "bar"), part = made("i")
    head.scope = "row"
    part.style.width = 100 * share + "%"
    bar.setAttribute("aria-hidden", "true")
    bar.append(part)
    cell.append(bar)
    row.append(head, cell, made("td", percent(share)))
    return row
  }))
  const any = answer?.fracture_probability, threshold = (answer?.by || model).fracture_threshold
  at("any").hidden = any === null || any === undefined
  if (at("any").hidden) return
  at("any-bar").querySelector("i").style.width = 100 * any + "%"
  at("any-bar").querySelector("b").hidden = threshold === null
  at("any-bar").querySelector("b").style.left = 100 * Math.min(1, threshold || 0) + "%"
  at("any-words").textContent = `${percent(any)}; ` + (threshold === null ? "there is no threshold to report it." : `reported from ${percent(threshold)} on (the mark).`)
}

function toggle() {
  const button = at("toggle")
  button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true")
  blend()
}

at("file").onchange = event => { add(event.target.files); event.target.value = "" }
at("slider").oninput = () => { at("toggle").setAttribute("aria-pressed", "true"); blend() }
at("toggle").onclick = toggle
at("ask-token").onsubmit = event => {
  event.preventDefault()
  token = at("token").value.trim()
  sessionStorage.setItem("token", token)
  start()
}
at("correct").onsubmit = event => { event.preventDefault(); correct(shown) }
document.addEventListener("keydown", event => {
  if (event.key.toLowerCase() === "h" && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.matches("input, select")) toggle()
})
const drop = at("drop")
document.addEventListener("dragover", event => { event.preventDefault(); drop.classList.add("over") })
document.addEventListener("dragleave", () => drop.classList.remove("over"))
document.addEventListener("drop", event => {
  event.preventDefault()
  drop.classList.remove("over")
  if (event.dataTransfer.files.length) add(event.dataTransfer.files)
})
start()
