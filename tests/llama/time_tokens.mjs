#!/usr/bin/env node
// The time of a token of generation by llama.cpp on the processor, to stand beside `lapilli bench generate` on the same file, in turn.
//
// Usage: time_tokens.mjs FILE.gguf CONTEXT [TOKENS] [THREADS]     run in the folder where npm installed node-llama-cpp (3.21.1)
// Prints the median and the quartiles of TOKENS (20) single tokens behind CONTEXT others. Exit 77: no node-llama-cpp here.
import path from "node:path";
import {pathToFileURL} from "node:url";

const [gguf, context, tokens = "20", threads = "2"] = process.argv.slice(2);
let llamaCpp;
try {
  llamaCpp = await import(pathToFileURL(path.resolve("node_modules/node-llama-cpp/dist/index.js")));
} catch (error) {
  console.log(`skipped: ${error.message.split("\n")[0]}`);
  process.exit(77);
}
const llama = await llamaCpp.getLlama({gpu: false, build: "never", logLevel: "error"});
const model = await llama.loadModel({modelPath: path.resolve(gguf), gpuLayers: 0});
const size = Number(context) + Number(tokens) + 8;
const sequence = (await model.createContext({contextSize: size, batchSize: size, flashAttention: false, threads: Number(threads)})).getSequence();
const greedy = {generateNext: {token: true, options: {temperature: 0}}};
let input = Array.from({length: Number(context)}, (_, i) => 100 + 7919 * i % 1000);
const times = [];
for (let i = 0; i <= Number(tokens); ++i) {
  const start = performance.now();
  const outputs = await sequence.controlledEvaluate([...input.slice(0, -1), [input.at(-1), greedy]]);
  if (i > 0) times.push(performance.now() - start);  // the first reads the text
  input = [outputs.at(-1).next.token];
}
times.sort((a, b) => a - b);
const at = share => times[Math.floor(share * (times.length - 1))].toFixed(1);
console.log(`llama.cpp, ${threads} threads, behind ${context} tokens: median ${at(0.5)} ms, quartiles ${at(0.25)} to ${at(0.75)}, ${(1000 / at(0.5)).toFixed(2)} tokens/s`);
process.exit(0);
