#!/usr/bin/env -S node --no-warnings --no-incremental-marking
// Runs a WASI program under node, as a runner of `cargo test --target wasm32-wasip1`: its arguments, the environment and the
// current folder are the program's. Node 18 wants to be told that WASI is wanted: NODE_OPTIONS=--experimental-wasi-unstable-preview1
// Garbage is marked at once: step by step, Node 20.20 has been seen to end in "unreachable code" when a program's memory grew.
import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";

const args = process.argv.slice(2);
// Tests know their files by the absolute paths of the build.
const preopens = { ".": ".", [process.cwd()]: "." };
const wasi = new WASI({ version: "preview1", args, env: process.env, preopens });
const module = await WebAssembly.compile(readFileSync(args[0]));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
