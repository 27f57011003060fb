// A headless Chromium, and a page for it to open: one that is served already, a folder, or a fresh build.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { delimiter, extname, join, normalize } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

/** The project's folder. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The options that say which page and which browser. */
export const OPTIONS = {
  url: { type: 'string' },
  dir: { type: 'string' },
  chromium: { type: 'string', default: onPath('chromium') },
};

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/** Where a program lies. Without it, its bare name, which says in the browser's error what is missing. */
function onPath(program) {
  const places = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, program));
  return places.find((place) => existsSync(place)) ?? program;
}

/**
 * Opens a browser with a fresh profile, hands it and the page's address to `work`, and leaves nothing behind.
 * The page is served at `url`, or lies in the folder `dir`; without both it is built and served for it.
 */
export async function withBrowser({ url, dir, chromium: executablePath }, work) {
  const server = url !== undefined ? null : await (dir === undefined ? serve() : serveFolder(dir));
  try {
    const browser = await chromium.launch({ executablePath, args: FLAGS, headless: true });
    try {
      return await work(browser, server?.address ?? new URL('.', url).href);
    } finally {
      await browser.close();
    }
  } finally {
    await server?.stop();
  }
}

/** Serves a built page on a free port. */
async function serveFolder(folder) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const file = normalize(decodeURIComponent(pathname === '/' ? '/index.html' : pathname));
    try {
      const body = await readFile(join(folder, file));
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { address: `http://127.0.0.1:${server.address().port}/`, stop };
}

/** Builds and serves the page as a person would, on a free port. What cargo says goes to standard error. */
async function serve() {
  const command = ['run', '--quiet', '--package', 'sandhog-web', '--', '--port', '0'];
  const program = spawn('cargo', command, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve, reject) => program.once('close', resolve).once('error', reject));
  const { value: address } = await Promise.race([
    createInterface({ input: program.stdout })[Symbol.asyncIterator]().next(),
    ended.then((code) => Promise.reject(new Error(`the page is not served: exit ${code}`))),
  ]);
  if (address === undefined) throw new Error(`the page is not served: exit ${await ended}`);
  const stop = () => {
    program.kill('SIGINT');
    return ended;
  };
  return { address, stop };
}
