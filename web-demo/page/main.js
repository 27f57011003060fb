// @ts-check
// The main module: it connects controls, simulator, player and panels.

import * as address from './address.js';
import { byId } from './dom.js';
import { Editor } from './editor.js';
import { clock, time } from './format.js';
import { listenToKeys } from './keys.js';
import { Laboratory, Superseded } from './lab.js';
import { Model } from './model.js';
import { Details, showChecks, showLegend, Story, InFlight } from './panels.js';
import { Player, SPEEDS } from './player.js';
import { Stage } from './stage.js';
import { Timeline } from './timeline.js';
import { Verdict } from './verdict.js';

/** @typedef {import('./model.js').Page} Page */

const laboratory = new Laboratory();
const player = new Player();
const story = new Story();
const inFlight = new InFlight();
const details = new Details();
const verdict = new Verdict();
const scenario = /** @type {HTMLSelectElement} */ (byId('scenario'));
const seed = /** @type {HTMLInputElement} */ (byId('seed'));
const speed = /** @type {HTMLSelectElement} */ (byId('speed'));
const skip = /** @type {HTMLInputElement} */ (byId('skip'));
const main = byId('laboratory');
const timeline = new Timeline(byId('scrub'), byId('density'), (t) => seek(t));
const stage = new Stage(byId('canvas'), byId('hosts'), (flight) => choose(flight), () => draw());
const editor = new Editor(runChanged);
/** @type {import('./lab.js').Scenario[]} */
let scenarios = [];
/** The content of the address, without the time. @type {address.Shared} */
let shared = { scenario: null, seed: null, t: null };
let addressTimer = 0;

/** Updates all panels to the current time. */
function draw() {
  const { model, t, position } = player;
  if (!model) return;
  stage.draw(t, position, player);
  timeline.show(t);
  story.show(model.storyAt(position));
  inFlight.show(model, t, player.playing, choose);
  byId('time').textContent = player.playing ? clock(t) : time(t);
  byId('stage').classList.toggle('skipping', player.skipping);
}

/** @param {import('./model.js').Flight | null} flight */
function choose(flight) {
  stage.selected = flight;
  if (flight) showRecord(flight.entry);
  else details.clear();
  draw();
}

/** @param {import('./model.js').Entry} record */
function showRecord(record) {
  if (player.model) details.show(player.model, record, goToRecord);
}

/** @param {import('./model.js').Entry} record */
function goToRecord(record) {
  const { model } = player;
  if (!model) return;
  stage.selected = model.flights.find((flight) => flight.entry === record || flight.sent === record || flight.end === record) ?? null;
  player.goTo(model.positionOf.get(record.id) ?? 0);
  showRecord(record);
}

/** Shows the record at the current position. */
function showStep() {
  const record = player.model?.records[player.position];
  if (record) goToRecord(record);
  else choose(null);
}

/** @param {number} t */
function seek(t) {
  player.pause();
  player.seek(t);
}

/** Writes the time into the address. It waits a little, because browsers limit how often the address may change. */
function shareTime() {
  clearTimeout(addressTimer);
  if (player.playing) return;
  addressTimer = window.setTimeout(() => {
    if (shared.scenario !== null) address.write({ ...shared, t: player.t > 0 ? player.t : null });
  }, 150);
}

/**
 * Runs a scenario and shows the run or the error.
 * @param {() => Promise<Page>} run
 * @param {address.Shared} wanted
 * @returns {Promise<string | null>} the error message, or null
 */
async function runAndShow(run, wanted) {
  player.pause();
  clearTimeout(addressTimer);
  main.setAttribute('aria-busy', 'true');
  verdict.running(wanted.scenario ?? 'the changed scenario', player.model !== null);
  try {
    show(await run(), wanted.t);
    shared = wanted;
    address.write(wanted);
    /** @type {HTMLButtonElement} */ (byId('share')).disabled = wanted.scenario === null;
    verdict.say('');
    return null;
  } catch (error) {
    if (error instanceof Superseded) return null;
    const message = error instanceof Error ? error.message : String(error);
    verdict.failed(message, player.model !== null);
    return message;
  } finally {
    main.removeAttribute('aria-busy');
  }
}

/**
 * @param {Page} page
 * @param {number | null} t the time to show; null plays from the start
 */
function show(page, t) {
  const model = new Model(page);
  byId('run-title').textContent = page.title || page.scenario;
  byId('run-about').textContent = page.about || '';
  byId('end-time').textContent = `of ${clock(model.end)}`;
  document.title = `${page.scenario} · Sandhog laboratory`;
  for (const id of ['to-start', 'step-back', 'play', 'step', 'to-end']) /** @type {HTMLButtonElement} */ (byId(id)).disabled = false;
  player.load(model);
  stage.load(model);
  timeline.load(model);
  inFlight.reset();
  story.load(model, (position) => {
    player.goTo(position);
    showStep();
  });
  showChecks(model);
  showLegend(model);
  verdict.show(page);
  details.clear();
  player.seek(t ?? 0);
  if (t === null && !player.reducedMotion) player.play();
}

/**
 * @param {address.Shared} wanted
 * @param {boolean} [visit]
 */
async function runBuiltin(wanted, visit = false) {
  const name = wanted.scenario ?? '';
  seed.value = wanted.seed ?? seed.value;
  scenario.value = name;
  address.write(wanted, visit);
  await runAndShow(() => laboratory.run(name, seed.value), { ...wanted, seed: seed.value });
}

/**
 * Runs a scenario from the editor. If it cannot run, the earlier run stays visible.
 * @param {string} source
 */
async function runChanged(source) {
  const before = player.model;
  const error = await runAndShow(() => laboratory.runSource(source, seed.value), { scenario: null, seed: null, t: null });
  if (error !== null && before) {
    verdict.show(before.page);
    verdict.say('');
  }
  return error;
}

function runChosen() {
  return runBuiltin({ scenario: scenario.value, seed: seed.value.trim(), t: null }, true);
}

function listen() {
  byId('choice').addEventListener('submit', (event) => {
    event.preventDefault();
    runChosen();
  });
  scenario.addEventListener('change', runChosen);
  byId('next-seed').addEventListener('click', () => {
    if (/^\d+$/.test(seed.value.trim())) seed.value = String(BigInt(seed.value.trim()) + 1n);
    runChosen();
  });
  byId('edit').addEventListener('click', () => editor.open(scenarios.find(({ name }) => name === scenario.value)?.source ?? ''));
  byId('play').addEventListener('click', () => player.toggle());
  byId('step').addEventListener('click', () => step(1));
  byId('step-back').addEventListener('click', () => step(-1));
  byId('to-start').addEventListener('click', () => seek(0));
  byId('to-end').addEventListener('click', () => seek(Infinity));
  speed.addEventListener('change', () => (player.speed = Number(speed.value)));
  skip.addEventListener('change', () => (player.skipQuiet = skip.checked));
  player.addEventListener('change', () => {
    draw();
    shareTime();
  });
  player.addEventListener('pace', () => (speed.value = String(player.speed)));
  for (const name of ['play', 'pause']) {
    player.addEventListener(name, () => {
      byId('play').setAttribute('aria-label', player.playing ? 'Pause' : 'Play');
      byId('play').classList.toggle('playing', player.playing);
    });
  }
  window.addEventListener('popstate', () => runBuiltin(startFrom(address.read())));
  listenToKeys({
    toggle: () => player.toggle(),
    step,
    stepStory: (by) => {
      player.stepStory(by);
      showStep();
    },
    toStart: () => seek(0),
    toEnd: () => seek(Infinity),
  });
}

/** @param {number} by */
function step(by) {
  player.step(by);
  showStep();
}

/**
 * Fills in the parts that an address leaves out.
 * @param {address.Shared} asked
 */
function startFrom(asked) {
  return { scenario: asked.scenario ?? scenarios[0]?.name ?? '', seed: asked.seed ?? '7', t: asked.t };
}

async function start() {
  speed.append(...SPEEDS.map((value) => new Option(value < 1 ? `1/${Math.round(1 / value)}` : `${value}×`, String(value))));
  details.clear();
  listen();
  try {
    scenarios = await laboratory.scenarios();
  } catch (error) {
    verdict.failed(`Cannot start the simulator: ${error instanceof Error ? error.message : error}`, false);
    return;
  }
  scenario.replaceChildren(...scenarios.map(({ name, title }) => {
    const option = new Option(name, name);
    option.title = title;
    return option;
  }));
  for (const id of ['scenario', 'seed', 'run', 'next-seed', 'edit', 'share']) byId(id).removeAttribute('disabled');
  await runBuiltin(startFrom(address.read()));
}

start();
