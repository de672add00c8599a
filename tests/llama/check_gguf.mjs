#!/usr/bin/env node
// Checks that llama.cpp reads an export as lapilli does.
//
// Usage: check_gguf.mjs LAPILLI RUN FILE.gguf TEXT [NLL_TOKENS] [LINES]     run in the folder where npm installed node-llama-cpp (3.21.1)
//   the ids of the first LINES (300) lines of TEXT and of the awkward ones below, against `lapilli tokenizer encode`; the mean loss of the first
//   NLL_TOKENS (10,000) tokens of TEXT, against `lapilli eval` (within 1e-3); for ten prompts from TEXT the greedy continuation by 200 tokens,
//   within the context, against `lapilli generate`
// Exit 0: all agree, but for texts with characters that a "t5" tokenizer cannot spell. 1: they do not. 77: no node-llama-cpp here.
import {spawnSync} from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {pathToFileURL} from "node:url";

const AWKWARD = [" ", "  two  spaces  ", "\n", "\n\n\nx\n", "\ta\tb", "tab\there", "trailing ", "CamelCase and snake_case", "3.14159 2,718", "naïve café",
  "日本語のテキスト", "emoji 🙂🎉", "Ω≈ç√", "a\r\nb", "ALL CAPS!", "it's; \"quoted\"", "x".repeat(300), "é".repeat(20), "\x01\x7f", "½ ¼",
  "\u200bzero", "\u0301combining", "𝔘𝔫𝔦", "one\u00a0two", "<s> and </s>"];
const ALL_TOKENS = {temperature: 1, topK: 0, topP: 1, minP: 0};

const [program, run, gguf, textFile, nllTokens = "10000", lineCount = "300"] = process.argv.slice(2);
let llamaCpp;
try {
  llamaCpp = await import(pathToFileURL(path.resolve("node_modules/node-llama-cpp/dist/index.js")));
} catch (error) {
  console.log(`skipped: ${error.message.split("\n")[0]}`);
  process.exit(77);
}

function lapilli(...parameters) {
  const done = spawnSync(program, parameters.map(String), {encoding: "utf8", maxBuffer: 1 << 30});
  if (done.status !== 0) throw new Error(`lapilli ${parameters.join(" ")}: ${done.stderr}`);
  return done.stdout;
}
const same = (a, b) => a.length === b.length && a.every((id, i) => id === b[i]);

const llama = await llamaCpp.getLlama({gpu: false, build: "never", logLevel: "error"});
const model = await llama.loadModel({modelPath: path.resolve(gguf), gpuLayers: 0});
const isT5 = model.fileInfo.metadata.tokenizer.ggml.model === "t5";
const whole = fs.readFileSync(textFile, "utf8").replaceAll("<|endoftext|>\n", "");  // lapilli would read a separator
const tokenizerName = ["tokenizer.model", "tokenizer.json"].map(name => path.join(run, name)).find(file => fs.existsSync(file));
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "check-gguf-"));

function checkTokens() {
  const lines = whole.split("\n").slice(0, Number(lineCount)).map(line => line + "\n");
  let wrong = 0, unspellable = 0;
  const texts = [...lines, lines.slice(0, 50).join(""), ...AWKWARD];
  for (const text of texts) {
    const ours = JSON.parse(lapilli("tokenizer", "encode", tokenizerName, "--text", text, "--json")).ids;
    const theirs = [...model.tokenize(text, false)];
    if (same(ours, theirs)) continue;
    if (isT5 && /[^\x00-\x7f]/.test(text)) {
      ++unspellable;
      continue;
    }
    if (++wrong <= 5) console.log(`${JSON.stringify(text.slice(0, 60))}: lapilli ${ours.slice(0, 20)}, llama.cpp ${theirs.slice(0, 20)}`);
  }
  return {wrong, unspellable, texts: texts.length};
}

async function meanLoss(sequence, ids, context) {
  let sum = 0;
  for (let begin = 0; begin + 1 < ids.length; begin += context) {
    const targets = ids.slice(begin + 1, begin + 1 + context);
    const inputs = targets.map((_, i) => [ids[begin + i], {generateNext: {probabilities: true, options: ALL_TOKENS}}]);
    await sequence.clearHistory();
    const outputs = await sequence.controlledEvaluate(inputs);
    targets.forEach((target, i) => { sum -= Math.log(outputs[i].next.probabilities.get(target)); });
  }
  return sum / (ids.length - 1);
}

async function checkLoss(sequence, context) {
  const ids = [...model.tokenize(whole.slice(0, 20 * Number(nllTokens)), false)].slice(0, Number(nllTokens) + 1);
  const part = path.join(scratch, "part.txt");
  fs.writeFileSync(part, model.detokenize(ids));
  const evaluated = JSON.parse(lapilli("eval", run, "--data", part, "--context", context, "--json"));
  return {ours: evaluated.loss, theirs: await meanLoss(sequence, ids, context), tokens: evaluated.tokens};
}

// Ends at a token that llama.cpp takes for an end, which need not be lapilli's.
async function continueGreedily(sequence, ids, count) {
  await sequence.clearHistory();
  const drawn = [];
  let input = ids;
  while (drawn.length < count) {
    const last = [...input.slice(0, -1), [input.at(-1), {generateNext: {token: true, options: {temperature: 0}}}]];
    const outputs = await sequence.controlledEvaluate(last);
    const next = outputs.at(-1).next.token;
    if (next === model.tokens.eos || model.isEogToken(next)) break;
    drawn.push(next);
    input = [next];
  }
  return drawn;
}

async function checkTexts(sequence, context) {
  let differ = 0;
  for (let i = 0; i < 10; ++i) {
    const ids = [...model.tokenize(whole.slice(2000 * i, 2000 * i + 400), false)].slice(0, Math.min(30, Math.floor(context / 4)));
    const prompt = model.detokenize(ids), count = Math.min(200, context - ids.length);
    const ours = lapilli("generate", run, "--prompt", prompt, "--tokens", count, "--temperature", 0).slice(prompt.length).replace(/\n+$/, "");
    const drawn = await continueGreedily(sequence, ids, count);
    const theirs = model.detokenize([...ids, ...drawn]).slice(prompt.length).replace(/\n+$/, "");
    if (drawn.length < count ? ours.startsWith(theirs) : ours === theirs) continue;
    ++differ;
    console.log(`prompt ${i}:\n  lapilli   ${JSON.stringify(ours.slice(-80))}\n  llama.cpp ${JSON.stringify(theirs.slice(-80))}`);
  }
  return differ;
}

const tokens = checkTokens();
const contextSize = Math.min(model.trainContextSize, 1024);
const context = await model.createContext({contextSize, batchSize: contextSize, flashAttention: false, threads: 1, experimentalKvCacheKeyType: "F32",
                                           experimentalKvCacheValueType: "F32"});
const sequence = context.getSequence({contextShift: undefined});
const loss = await checkLoss(sequence, contextSize);
const differ = await checkTexts(sequence, contextSize);
fs.rmSync(scratch, {recursive: true});
console.log(`${gguf}: ${tokens.wrong} of ${tokens.texts} texts differ` +
            (isT5 ? `, and ${tokens.unspellable} with characters outside ASCII` : "") +
            `; loss of ${loss.tokens} tokens ${loss.ours.toFixed(6)} by lapilli, ${loss.theirs.toFixed(6)} by llama.cpp; ` +
            `${differ} of 10 continuations differ`);
process.exit(tokens.wrong || differ || Math.abs(loss.ours - loss.theirs) > 1e-3 ? 1 : 0);
