// @ts-check
// The data model of a run: the simulator's report with indexes, for datagrams in flight at a time and for causes.

import { below, upTo } from './search.js';

/**
 * @typedef {{id: number, at_ns: number, host: string | null, cause: number | null, what: string, [field: string]: any}} Entry
 *   one record of the trace
 * @typedef {{name: string, role: string, address: string, inner: string[]}} Host
 * @typedef {{a: string, b: string, description: string}} Link
 * @typedef {{record: number, at_ns: number, host: string | null, text: string}} StoryLine
 * @typedef {{name: string, passed: boolean, detail: string}} Check
 * @typedef {{scenario: string, title: string, about: string, seed: number, digest: string, passed: boolean, outcome: string,
 *   end_ns: number, hosts: Host[], links: Link[], records: Entry[], story: StoryLine[], checks: Check[],
 *   counters: Record<string, unknown>}} Page the result of `run`
 * @typedef {{sent: Entry, entry: Entry, end: Entry | null, from: string, to: string, kind: string, start: number, finish: number,
 *   lostAt: number | null, reason: string, duplicate: boolean, corrupted: boolean}} Flight
 *   a datagram on a link, or a copy of it. `entry` is its own record. `lostAt` is the share of the link that it passed before
 *   it was lost; null if it arrived.
 */

/** Drawn position of a loss, as a share of the link, for a datagram that the link lost at random or by script. */
const LOST_HALFWAY = 0.5;
/** The same for a datagram that never got onto the link: the queue was full, it was too long, or the receiver is unknown. */
const LOST_AT_SENDER = 0.12;
const BEFORE_THE_LINK = ['queue-full', 'mtu', 'no-host'];

export class Model {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.records = page.records;
    this.at = Float64Array.from(page.records, (record) => record.at_ns);
    this.end = Math.max(page.end_ns, this.at.at(-1) ?? 0);
    /** @type {Map<number, number>} the position of each record in the trace, by its id */
    this.positionOf = new Map(page.records.map((record, position) => [record.id, position]));
    this.storyPositions = Float64Array.from(page.story, (line) => this.positionOf.get(line.record) ?? upTo(this.at, line.at_ns) - 1);
    this.transit = typicalTransit(page.records);
    /** @type {Flight[]} in the order in which they were sent */
    this.flights = this.#collectFlights();
    /** @type {[string, string][]} the pairs of hosts with a link to draw: links of the scenario, and all pairs with traffic */
    this.pairs = pairsOf(page.links.map(({ a, b }) => [a, b]), this.flights);
    this.kinds = [...new Set(this.flights.map((flight) => flight.kind))];
    this.starts = Float64Array.from(this.flights, (flight) => flight.start);
    // The latest finish among all flights up to each one. It ascends, so a search finds the oldest flight that is not over.
    let latest = 0;
    this.latestFinish = Float64Array.from(this.flights, (flight) => (latest = Math.max(latest, flight.finish)));
    this.statuses = this.#collectStatuses();
    /** @type {Map<number, number[]> | null} */
    this.effectsOf = null;
  }

  /** @param {number | null} id */
  record(id) {
    return id === null ? undefined : this.records[this.positionOf.get(id) ?? -1];
  }

  /**
   * The position of the last record at or before `t`, or -1 before the first.
   * @param {number} t
   */
  positionAt(t) {
    return upTo(this.at, t) - 1;
  }

  /**
   * The datagrams in flight at any time between `from` and `to`, in the order in which they were sent.
   * @param {number} from
   * @param {number} to
   */
  flightsBetween(from, to) {
    const found = [];
    const last = upTo(this.starts, to);
    for (let i = below(this.latestFinish, from); i < last; i++) {
      if (this.flights[i].finish >= from) found.push(this.flights[i]);
    }
    return found;
  }

  /**
   * The time at which the next datagram after `t` is sent, or the end of the run if there is none.
   * @param {number} t
   */
  nextStart(t) {
    return this.starts[upTo(this.starts, t)] ?? this.end;
  }

  /**
   * The index of the story line at a position in the trace, or -1 before the first.
   * @param {number} position
   */
  storyAt(position) {
    return upTo(this.storyPositions, position) - 1;
  }

  /**
   * The tunnel status of a host at a position in the trace.
   * @param {string} host
   * @param {number} position
   */
  statusAt(host, position) {
    const seen = this.statuses.get(host);
    return seen?.texts[upTo(seen.positions, position) - 1] ?? '';
  }

  /**
   * The chain of causes of a record: the earliest cause first, the record itself last.
   * @param {Entry} record
   */
  causesOf(record) {
    const chain = [record];
    for (let cause = this.record(record.cause); cause && !chain.includes(cause); cause = this.record(cause.cause)) {
      chain.unshift(cause);
    }
    return chain;
  }

  /**
   * The records that this record caused.
   * @param {Entry} record
   */
  effects(record) {
    if (!this.effectsOf) {
      this.effectsOf = new Map();
      for (const { id, cause } of this.records) {
        if (cause === null) continue;
        const known = this.effectsOf.get(cause);
        if (known) known.push(id);
        else this.effectsOf.set(cause, [id]);
      }
    }
    return (this.effectsOf.get(record.id) ?? []).flatMap((id) => this.record(id) ?? []);
  }

  #collectFlights() {
    /** @type {Flight[]} */
    const flights = [];
    /** @type {Map<number, Flight>} */
    const byRecord = new Map();
    for (const entry of this.records) {
      const cause = this.record(entry.cause);
      if (entry.what === 'flight' && cause) {
        const flight = newFlight(cause, entry, entry.due_ns);
        flights.push(flight);
        byRecord.set(entry.id, flight);
      } else if (entry.what === 'lost' && cause?.what === 'sent') {
        const flight = newFlight(cause, entry, entry.at_ns);
        flight.lostAt = BEFORE_THE_LINK.includes(flight.reason) ? LOST_AT_SENDER : LOST_HALFWAY;
        flight.finish = entry.at_ns + flight.lostAt * this.transit;
        flight.end = entry;
        flights.push(flight);
      } else if (entry.what === 'lost' || entry.what === 'received') {
        const flight = byRecord.get(entry.cause ?? -1);
        if (!flight) continue;
        flight.end = entry;
        if (entry.what === 'lost') {
          flight.lostAt = 1;
          flight.reason = entry.reason;
        }
      }
    }
    return flights;
  }

  #collectStatuses() {
    /** @type {Map<string, {positions: number[], texts: string[]}>} */
    const statuses = new Map();
    this.records.forEach((record, position) => {
      if (record.what !== 'status' || record.host === null) return;
      const seen = statuses.get(record.host) ?? { positions: [], texts: [] };
      seen.positions.push(position);
      seen.texts.push(record.status);
      statuses.set(record.host, seen);
    });
    return statuses;
  }
}

/**
 * @param {Entry} sent
 * @param {Entry} entry
 * @param {number} finish
 * @returns {Flight}
 */
function newFlight(sent, entry, finish) {
  return {
    sent,
    entry,
    end: null,
    from: sent.host ?? '',
    to: entry.to ?? sent.to,
    kind: sent.kind,
    start: entry.at_ns,
    finish,
    lostAt: null,
    reason: entry.reason ?? '',
    duplicate: Number(entry.copy ?? 0) > 0,
    corrupted: Boolean(entry.corrupted),
  };
}

/**
 * @param {[string, string][]} linked
 * @param {Flight[]} flights
 */
function pairsOf(linked, flights) {
  const pairs = new Map(linked.map((pair) => [[...pair].sort().join(), pair]));
  for (const { from, to } of flights) {
    const key = [from, to].sort().join();
    if (to && !pairs.has(key)) pairs.set(key, [from, to]);
  }
  return [...pairs.values()];
}

/**
 * The median transit time of all datagrams, in nanoseconds. It sets the initial speed and the drawn length of lost datagrams.
 * @param {Entry[]} records
 */
function typicalTransit(records) {
  const transits = records
    .filter((record) => record.what === 'flight')
    .map((record) => record.due_ns - record.at_ns)
    .filter((transit) => transit > 0)
    .sort((a, b) => a - b);
  return transits[transits.length >> 1] ?? 30e6;
}
