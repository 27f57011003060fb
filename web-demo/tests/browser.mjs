// Headless Chromium and a page to open in it: a served page, a folder, or a new build.

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

/** The options for the page and the browser. */
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

/** The path of a program on the PATH. If there is none, returns the name, so that the error message contains it. */
function onPath(program) {
  const positions = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, program));
  return positions.find((position) => existsSync(position)) ?? program;
}

/**
 * Opens a browser with a new profile, calls `work` with the browser and the address of the page, and closes everything.
 * The page is served at `url`, or its files are in the folder `dir`. Without both, the page is built and served.
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

/** Builds and serves the page with cargo, on a free port. Cargo's output goes to standard error. */
async function serve() {
  const command = ['run', '--quiet', '--package', 'sandhog-web', '--', '--port', '0'];
  const program = spawn('cargo', command, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve, reject) => program.once('close', resolve).once('error', reject));
  const { value: address } = await Promise.race([
    createInterface({ input: program.stdout })[Symbol.asyncIterator]().next(),
    ended.then((code) => Promise.reject(new Error(`cannot serve the page: cargo exited with ${code}`))),
  ]);
  if (address === undefined) throw new Error(`cannot serve the page: cargo exited with ${await ended}`);
  const stop = () => {
    program.kill('SIGINT');
    return ended;
  };
  return { address, stop };
}
