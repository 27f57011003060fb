#!/usr/bin/env -S node --no-warnings
// Runs WebAssembly programs for WASI under node: the `runner` that `.cargo/config.toml` names for `wasm32-wasip1`.
//
// A panic in WebAssembly is a trap and ends the instance, and with it the rest of a test binary and the message of the
// test that failed. So a test binary is asked for its list of tests first, and then each test gets an instance of its own;
// as many at a time as there are processors, each in a worker of this file. Anything else (a binary started by `cargo run`)
// is run once with its arguments.

import { mkdtempSync, openSync, closeSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { WASI } from "node:wasi";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

// V8's fast calls into node's WASI may collect garbage where they must not, and then node crashes, one run in three here
// (nodejs/node issues 46777 and 53087). Without them it never has.
setFlagsFromString("--no-turbo-fast-api-calls");

const TRAPPED = 134; // what a shell reports for a process that aborted
const TESTS_FAILED = 101; // what a native test binary exits with

const workspace = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const [modulePath, ...args] = isMainThread ? process.argv.slice(2) : [workerData.modulePath];
if (modulePath === undefined) {
  console.error("usage: runner.mjs MODULE.wasm [ARGUMENT]...");
  process.exit(2);
}
const module = isMainThread ? await WebAssembly.compile(readFileSync(modulePath)) : workerData.module;

/** Runs the module once, its standard output and error going to the given file descriptors; returns its exit status. */
async function run(programArgs, stdout, stderr) {
  const cwd = process.cwd();
  const wasi = new WASI({
    version: "preview1",
    args: [modulePath, ...programArgs],
    // insta would ask `cargo metadata` for the workspace, and there are no processes here.
    env: { ...process.env, INSTA_WORKSPACE_ROOT: workspace },
    // Absolute paths must not be resolved below ".", hence each root under its own name and never "/".
    preopens: { [workspace]: workspace, [cwd]: cwd, ".": cwd, "/tmp": tmpdir() },
    returnOnExit: true,
    stdin: 0,
    stdout,
    stderr,
  });
  const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
  try {
    return wasi.start(instance);
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    return TRAPPED;
  }
}

/** Runs the module with its output collected in a file, and returns `{ status, output }`. */
async function capture(programArgs, file) {
  const descriptor = openSync(file, "w");
  const status = await run(programArgs, descriptor, descriptor).finally(() => closeSync(descriptor));
  return { status, output: readFileSync(file, "utf8") };
}

/** Splits a test binary's arguments: those that choose tests, and those that each single run of a test gets as well. */
function splitArguments(all) {
  const choosing = [];
  const passing = [];
  for (let index = 0; index < all.length; index += 1) {
    const argument = all[index];
    if (argument === "--skip") choosing.push(argument, all[(index += 1)]);
    else if (argument === "--exact" || !argument.startsWith("-")) choosing.push(argument);
    else if (argument.startsWith("--skip=")) choosing.push(argument);
    else if (argument !== "--nocapture" && argument !== "--no-capture") passing.push(argument);
  }
  return { choosing, passing };
}

/** Runs each test of a test binary in an instance of its own, in libtest's words; returns the exit status. */
async function runTests(all, folder) {
  const { choosing, passing } = splitArguments(all);
  const listed = await capture([...choosing, ...passing, "--list", "--format=terse"], join(folder, "list"));
  if (listed.status !== 0) {
    process.stdout.write(listed.output);
    return listed.status;
  }
  const names = [...listed.output.matchAll(/^(.+): test$/gm)].map((match) => match[1]);
  console.log(`\nrunning ${names.length} tests`);
  const failures = [];
  let ignored = 0;
  const tell = ({ name, status, output }) => {
    const wasIgnored = status === 0 && /test result: ok\. 0 passed/.test(output);
    ignored += wasIgnored ? 1 : 0;
    if (status !== 0) failures.push({ name, output });
    console.log(`test ${name} ... ${status !== 0 ? "FAILED" : wasIgnored ? "ignored" : "ok"}`);
  };
  const queue = names.values();
  const hands = Array.from({ length: Math.min(availableParallelism(), names.length) }, (_, hand) =>
    work(queue, passing, join(folder, `output-${hand}`), tell),
  );
  await Promise.all(hands);
  for (const { name, output } of failures) console.log(`\n---- ${name} ----\n${output}`);
  const passed = names.length - failures.length - ignored;
  const verdict = failures.length === 0 ? "ok" : "FAILED";
  console.log(`\ntest result: ${verdict}. ${passed} passed; ${failures.length} failed; ${ignored} ignored\n`);
  return failures.length === 0 ? 0 : TESTS_FAILED;
}

/** Has a worker run one test of the queue after another, and tells each result. A worker that dies ends the whole run. */
function work(queue, passing, file, tell) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { modulePath, module, passing, file } });
    const next = () => {
      const { done, value } = queue.next();
      if (done) worker.terminate().then(() => resolve(), reject);
      else worker.postMessage(value);
    };
    worker.on("message", (result) => {
      tell(result);
      next();
    });
    worker.on("error", reject);
    next();
  });
}

/** The worker's side of it: runs the tests whose names it gets. */
function serve({ passing, file }) {
  parentPort.on("message", async (name) => {
    const result = await capture([...passing, "--exact", name, "--nocapture"], file);
    parentPort.postMessage({ name, ...result });
  });
}

// cargo and rustdoc put what `cargo test` runs into `deps`; what `cargo run` runs stands beside that folder.
if (!isMainThread) {
  serve(workerData);
} else if (basename(dirname(modulePath)) === "deps") {
  const folder = mkdtempSync(join(tmpdir(), "wasi-tests-"));
  try {
    process.exitCode = await runTests(args, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
} else {
  process.exitCode = await run(args, 1, 2);
}
