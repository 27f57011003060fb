// @ts-check
// The picture: hosts in a row, datagrams on the links between them, and a sequence diagram below.

import { make } from './dom.js';
import { drawLadder } from './ladder.js';
import { drawDatagram, drawLoss } from './marks.js';
import { looksFor, readColours } from './palette.js';

/**
 * @typedef {import('./model.js').Model} Model
 * @typedef {import('./model.js').Flight} Flight
 * @typedef {{x: number, y: number}} Point
 * @typedef {{width: number, height: number, ladder: number, columns: Map<string, number>, halves: Map<string, number>,
 *   step: number, rowY: number, arcs: boolean}} Layout
 *   `ladder`: y of the top of the sequence diagram; `columns`: x of each host; `halves`: half the width of each card; `step`:
 *   distance between hosts; `rowY`: y of the middle of the cards; `arcs`: true if links are arcs above the row
 */

/** Maximum number of datagrams that are drawn. More could not be distinguished and would slow the animation down. */
const DRAWN_AT_ONCE = 500;
/** Maximum distance of a click from a datagram, in CSS pixels. */
const REACH = 16;

export class Stage {
  /** @type {Model | null} */
  #model = null;
  /** @type {Layout | null} */
  #layout = null;
  #looks = looksFor([]);
  #colours = readColours();
  /** @type {{flight: Flight, x: number, y: number}[]} */
  #drawn = [];
  /** @type {Map<string, HTMLElement>} */
  #statuses = new Map();
  /** @type {Flight | null} */
  selected = null;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} hostLayer
   * @param {(flight: Flight | null) => void} onSelect
   * @param {() => void} onResize
   */
  constructor(canvas, hostLayer, onSelect, onResize) {
    this.canvas = canvas;
    this.hostLayer = hostLayer;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    canvas.addEventListener('click', (event) => onSelect(this.#nearest(event.offsetX, event.offsetY)));
    canvas.addEventListener('pointermove', (event) => {
      canvas.style.cursor = this.#nearest(event.offsetX, event.offsetY) ? 'pointer' : '';
    });
    new ResizeObserver(() => {
      this.#measure();
      onResize();
    }).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.#colours = readColours();
      onResize();
    });
  }

  /** @param {Model} model */
  load(model) {
    this.#model = model;
    this.selected = null;
    this.#looks = looksFor(model.kinds);
    this.#statuses.clear();
    this.hostLayer.replaceChildren(
      ...inOrder(model).map((host) => {
        const status = make('span', { class: 'host-status' });
        this.#statuses.set(host.name, status);
        const inner = host.inner?.length ? `inside: ${host.inner.join(', ')}` : '';
        return make('div', { class: 'host', title: [host.role, host.address, inner].filter(Boolean).join('\n') },
          make('strong', { text: host.name }), 
          make('span', { class: 'host-role' }, host.role, make('span', { class: 'host-address', text: ` · ${host.address}` })), status);
      }),
    );
    this.hostLayer.classList.toggle('crowded', model.page.hosts.length > 3);
    this.#measure();
  }

  #measure() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (!this.#model) return;
    const cards = /** @type {HTMLElement[]} */ ([...this.hostLayer.children]);
    const hosts = inOrder(this.#model);
    const widest = Math.max(140, (width / Math.max(1, hosts.length)) * 0.86);
    for (const card of cards) card.style.maxWidth = `${Math.min(240, widest)}px`;
    // The diagram shows times and names beside the outer hosts.
    const margin = Math.max(width > 700 ? 150 : 0, ...cards.map((card) => card.offsetWidth / 2 + 2));
    const step = hosts.length > 1 ? (width - 2 * margin) / (hosts.length - 1) : 0;
    const arcs = hosts.length > 2;
    const links = arcs ? Math.round(Math.min(height * 0.5, 240)) : 100;
    const rowY = arcs ? links - 38 : 52;
    /** @type {Layout} */
    const layout = { width, height, ladder: links, columns: new Map(), halves: new Map(), step, rowY, arcs };
    hosts.forEach((host, i) => {
      const x = hosts.length > 1 ? margin + i * step : width / 2;
      layout.columns.set(host.name, x);
      layout.halves.set(host.name, cards[i].offsetWidth / 2);
      cards[i].style.left = `${x}px`;
      cards[i].style.top = `${rowY}px`;
    });
    this.#layout = layout;
  }

  /**
   * @param {number} t
   * @param {number} position
   * @param {{linger: number, speed: number}} pace
   */
  draw(t, position, { linger, speed }) {
    const { context } = this;
    const model = this.#model;
    if (!model) return;
    this.#showStatuses(model, position);
    const layout = this.#layout;
    if (!layout) return;
    context.clearRect(0, 0, layout.width, layout.height);
    this.#drawn = [];
    this.#drawLinks(model, layout);
    // Lost datagrams are drawn last, so that other datagrams do not cover the cross and its reason.
    const flights = model.flightsBetween(t - linger, t)
      .filter((flight) => flight.finish >= t || flight.lostAt !== null)
      .sort((a, b) => Number(a.lostAt !== null) - Number(b.lostAt !== null));
    const stride = Math.ceil(flights.length / DRAWN_AT_ONCE);
    flights.forEach((flight, i) => {
      if (i % stride === 0 || flight.lostAt !== null || flight === this.selected) this.#drawFlight(flight, t, linger, layout);
    });
    drawLadder({ context, model, layout, looks: this.#looks, colours: this.#colours, selected: this.selected, t, speed });
  }

  /**
   * @param {Model} model
   * @param {number} position
   */
  #showStatuses(model, position) {
    let changed = false;
    for (const [host, element] of this.#statuses) {
      const status = model.statusAt(host, position);
      if (element.textContent === status) continue;
      element.textContent = status;
      element.dataset.status = status;
      changed = true;
    }
    // A text of another length changes the width of the card, and so the ends of the links.
    if (changed) this.#measure();
  }

  /**
   * @param {Model} model
   * @param {Layout} layout
   */
  #drawLinks(model, layout) {
    const { context } = this;
    context.strokeStyle = this.#colours.pipe;
    context.lineCap = 'butt';
    for (const [a, b] of model.pairs) {
      for (const [from, to] of [[a, b], [b, a]]) {
        context.beginPath();
        for (let i = 0; i <= 24; i++) {
          const { x, y } = pointOnLink(layout, from, to, i / 24);
          context.lineTo(x, y);
        }
        context.lineWidth = this.#layout?.arcs ? 9 : 16;
        context.stroke();
      }
    }
    const [link] = model.page.links;
    if (layout.arcs || !link?.description) return;
    context.fillStyle = this.#colours.soft;
    context.font = '12px system-ui, sans-serif';
    context.textAlign = 'center';
    context.fillText(link.description, layout.width / 2, layout.rowY - 29, layout.width - 24);
  }

  /**
   * @param {Flight} flight
   * @param {number} t
   * @param {number} linger
   * @param {Layout} layout
   */
  #drawFlight(flight, t, linger, layout) {
    const { context } = this;
    const reach = flight.lostAt ?? 1;
    const done = t > flight.finish;
    const progress = flight.finish > flight.start ? Math.min(1, (t - flight.start) / (flight.finish - flight.start)) : 1;
    const { x, y } = pointOnLink(layout, flight.from, flight.to, progress * reach);
    const look = this.#looks.get(flight.kind) ?? { shape: /** @type {const} */ ('circle'), colour: 0 };
    const fading = done ? Math.max(0, 1 - (t - flight.finish) / linger) : 1;
    context.globalAlpha = fading;
    if (done) drawLoss(context, this.#colours, x, y, flight.reason);
    else drawDatagram(context, this.#colours, flight, look, x, y);
    context.globalAlpha = 1;
    if (flight === this.selected) {
      context.beginPath();
      context.arc(x, y, 15, 0, 2 * Math.PI);
      context.strokeStyle = this.#colours.ink;
      context.lineWidth = 2;
      context.stroke();
    }
    this.#drawn.push({ flight, x, y });
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  #nearest(x, y) {
    let best = null;
    let bestDistance = REACH;
    for (const drawn of this.#drawn) {
      const distance = Math.hypot(drawn.x - x, drawn.y - y);
      if (distance < bestDistance) [best, bestDistance] = [drawn.flight, distance];
    }
    return best;
  }
}

/**
 * Sorts the hosts: clients first, servers last. So requests go to the right and replies to the left.
 * @param {Model} model
 */
function inOrder(model) {
  const rank = (/** @type {string} */ role) => ({ client: 0, server: 2 })[role] ?? 1;
  return [...model.page.hosts].sort((a, b) => rank(a.role) - rank(b.role));
}

/**
 * A point on the link from one host to another. Each direction has its own lane. With two hosts the lanes are straight lines
 * between the cards. With more hosts they are arcs. A longer link has a higher arc, so it does not cross the hosts between.
 * @param {Layout} layout
 * @param {string} from
 * @param {string} to
 * @param {number} share position on the link, from 0 to 1
 * @returns {Point}
 */
function pointOnLink({ columns, halves, step, rowY, arcs }, from, to, share) {
  const a = columns.get(from) ?? 0;
  const b = columns.get(to) ?? a;
  const ahead = a < b ? 1 : -1;
  if (!arcs) {
    const start = a + ahead * ((halves.get(from) ?? 0) + 9);
    const stop = b - ahead * ((halves.get(to) ?? 0) + 9);
    return { x: start + (stop - start) * share, y: rowY - ahead * 13 };
  }
  const rise = Math.min(rowY - 30, 62 + (Math.abs(a - b) / step - 1) * 56) + ahead * 9;
  return { x: a + (b - a) * share, y: rowY - 20 - rise * Math.sin(Math.PI * share) ** 0.6 };
}
