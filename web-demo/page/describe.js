// @ts-check
// One sentence for each record of the trace. The words of the run itself come from the simulator and are shown as they are.

import { count, span } from './format.js';

/** @typedef {import('./model.js').Entry} Entry */
/** @typedef {import('./model.js').Model} Model */

/** Why a datagram was lost, in words. @type {Record<string, string>} */
export const REASONS = {
  random: 'random loss',
  scripted: 'dropped by the scenario',
  mtu: 'too long for the link',
  'queue-full': 'queue full',
  partition: 'link cut',
  'host-down': 'host is down',
  'no-host': 'nobody has this address',
  intercepted: 'taken away by an adversary',
};

/** @type {Record<string, (record: Entry) => string>} */
const SENTENCES = {
  sent: (r) => `sends ${r.kind}${r.nth === undefined ? '' : ` ${ordinal(r.nth)}`} to ${r.to ?? 'an address that nobody has'} (${count(r.len)} bytes)`,
  flight: (r) =>
    `the link takes it${Number(r.copy ?? 0) > 0 ? ', a second copy,' : ''} to ${r.to} in ${span(r.due_ns - r.at_ns)}` +
    (r.corrupted ? ', and corrupts it' : ''),
  lost: (r) => `lost on the way${r.to ? ` to ${r.to}` : ''}: ${REASONS[r.reason] ?? r.reason}`,
  received: (r) => `receives ${r.kind ?? 'a datagram'} from ${r.from} (${count(r.len)} bytes)`,
  'inner-out': (r) => `puts an inner packet into the tunnel${inner(r)}`,
  'inner-in': (r) => `takes an inner packet out of the tunnel${inner(r)}`,
  boot: (r) => (r.boot > 0 ? `starts again, for the ${r.boot + 1}. time` : 'starts'),
  'logged-in': (r) => `accepts the login of ${r.login}${r.from ? ` from ${r.from}` : ''}`,
  roamed: (r) => `finds the session of ${r.from} at ${r.to} now`,
  'settings-changed': () => 'is given other settings',
  retrying: (r) => `could not log in again (${r.error}), and will try once more`,
  rekeyed: (r) => `seals with the keys of epoch ${r.epoch}`,
  'session-ended': (r) => `ends the session of ${r.login}: ${r.reason}`,
  rebound: (r) => `has another address and does not know: ${r.to}`,
  attack: (r) => `attacks: ${r.act}, as from ${r.source}`,
  'login-refused': (r) => `refuses a login${r.from ? ` from ${r.from}` : ''}`,
  status: (r) => `is now ${r.status}`,
  started: (r) => `start completed: ${r.result}`,
  command: (r) => `is told: ${r.command}`,
  timer: (r) => `timer: ${r.reason}`,
  task: (r) => `${r.text}`,
  dropped: (r) => `drops it: ${r.reason}`,
  fault: (r) => `fault: ${r.text}`,
  event: (r) => `${r.text}`,
};

/** Fields that the sentence of a record says already. */
const PLAIN = ['id', 'at_ns', 'host', 'cause', 'what', 'to', 'from', 'kind', 'nth', 'len', 'reason', 'status', 'result', 'command', 'text',
  'summary', 'login', 'boot', 'epoch', 'act', 'source', 'error'];

/**
 * What happened, with the host that it happened at.
 * @param {Entry} record
 */
export function describe(record) {
  const sentence = SENTENCES[record.what];
  const text = sentence ? sentence(record) : record.what;
  if (record.host === null || record.what === 'flight' || record.what === 'lost') return capital(text);
  return `${record.host} ${/^(sends|receives|puts|takes|is|drops|starts|accepts|refuses|finds|seals|ends|has|attacks|could)\b/.test(text) ? '' : '· '}${text}`;
}

/**
 * The fields of a record that its sentence does not make plain already.
 * @param {Entry} record
 * @returns {[string, string][]}
 */
export function fields(record) {
  const plain = new Set(PLAIN);
  return Object.entries(record)
    .filter(([name, value]) => !plain.has(name) && value !== null && value !== '' && value !== false && !(name === 'copy' && value === 0))
    .map(([name, value]) => {
      if (name === 'due_ns') return ['arrives at', `${(value / 1e9).toFixed(6)} s`];
      if (name === 'print') return ['SHA-256 begins', String(value)];
      return [name.replaceAll('_', ' '), typeof value === 'object' ? JSON.stringify(value) : String(value)];
    });
}

/** @param {Entry} record */
function inner({ summary, len }) {
  return `${summary ? `: ${summary}` : ''} (${count(len)} bytes)`;
}

/** @param {number} n */
function ordinal(n) {
  return `no. ${count(n)}`;
}

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
