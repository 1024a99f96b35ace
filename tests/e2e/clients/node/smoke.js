// A Node client of hocket.v1: makes each kind of call once and prints what it saw as one line of JSON.
//
//   node smoke.js HOST:PORT PROTO_FOLDER
'use strict';

const path = require('path');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');

const LIMIT_MS = 60000; // Of any one call that is not meant to be cut short.
const [target, protoFolder] = process.argv.slice(2);
if (!protoFolder) {
  console.error('usage: node smoke.js HOST:PORT PROTO_FOLDER');
  process.exit(2);
}

// 64-bit numbers come as strings: a JavaScript number cannot hold every seed.
const definition = protoLoader.loadSync('hocket/v1/hocket.proto', {
  includeDirs: [path.resolve(protoFolder)], keepCase: true, defaults: true, longs: String, enums: String, oneofs: true,
});
const hocketV1 = grpc.loadPackageDefinition(definition).hocket.v1;

// What of google/rpc/status.proto and error_details.proto is read here.
const rpc = protobuf.parse(`syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; }`, { keepCase: true }).root;
const statusType = rpc.lookupType('Status');
const errorInfoType = rpc.lookupType('ErrorInfo');

function connect() {
  // Without a pool of its own, a second client would share the first one's connection.
  return new hocketV1.Hocket(target, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
}

function call(client, method, request, limitMs = LIMIT_MS) {
  return new Promise((resolve, reject) => {
    client[method](request, { deadline: Date.now() + limitMs },
      (error, response) => (error ? reject(error) : resolve(response)));
  });
}

// --------------------------------------------------------------------------------------- answers

function bitsOf(value) {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return view.getUint32(0);
}

class ChoiceLine {
  constructor() {
    this.text = '';
    this.token_ids = [];
    this.logprob_bits = []; // As IEEE 754 says, alternatives included.
    this.finish_reason = '';
    this.choiceTokens = 0n;
  }

  addScores(scores) {
    for (const score of scores) {
      this.logprob_bits.push(bitsOf(score.logprob));
      for (const alternative of score.top) this.logprob_bits.push(bitsOf(alternative.logprob));
    }
  }

  toJSON() {
    const { text, token_ids, logprob_bits, finish_reason } = this;
    return { text, token_ids, logprob_bits, finish_reason };
  }
}

// A stream, folded.
class Answer {
  constructor(choices = 1) {
    this.choices = Array.from({ length: choices }, () => new ChoiceLine());
    this.started = null;
    this.usage = null;
  }

  add(response) {
    if (response.event === 'started') this.started = response.started;
    if (response.event === 'delta') {
      const { delta } = response;
      const choice = this.choices[delta.choice_index];
      choice.text += delta.text;
      choice.token_ids.push(...delta.token_ids);
      choice.addScores(delta.logprobs);
      choice.choiceTokens = BigInt(delta.choice_tokens);
    }
    if (response.event === 'finished') {
      const { finished } = response;
      this.choices[finished.choice_index].finish_reason = finished.finish_reason;
      if (finished.usage) this.usage = finished.usage;
    }
  }
}

// Reads `stream` into `answer` until it ends (true) or `enough` says so (false); throws the call's error. What is not
// read yet waits in the stream.
async function fold(stream, answer, enough = () => false) {
  const events = stream[Symbol.asyncIterator]();
  for (;;) {
    const { value, done } = await events.next();
    if (done) return true;
    answer.add(value);
    if (enough(answer)) return false;
  }
}

// The reason in the status's details.
function reasonOf(error) {
  const [bytes] = error.metadata.get('grpc-status-details-bin');
  if (!bytes) return '';
  const found = statusType.decode(bytes).details.find(({ type_url }) => type_url.endsWith('/google.rpc.ErrorInfo'));
  return found ? errorInfoType.decode(found.value).reason : '';
}

function failureOf(error) {
  if (error.code === undefined) throw error;
  return { code: grpc.status[error.code], message: error.details, reason: reasonOf(error) };
}

async function failureFrom(promise) {
  try {
    await promise;
  } catch (error) {
    return failureOf(error);
  }
  return { code: 'OK', message: '', reason: '' };
}

// -------------------------------------------------------------------------------------- requests

function story() {
  return {
    text: 'Once upon a time',
    sampling: { temperature: 0.9, top_p: 0.95, seed: '18446744073709551609' },
    stopping: { max_new_tokens: 64 },
    output: { top_logprobs: 2 },
  };
}

// Goes on until somebody ends it.
function endless() {
  return {
    ...story(),
    stopping: { max_new_tokens: 1000000, ignore_eos: true },
    context: { policy: 'CONTEXT_POLICY_ROLL' },
  };
}

// Two choices, each long enough to be broken off in its middle.
function pair(id) {
  return {
    ...story(), request_id: id, stopping: { max_new_tokens: 200, ignore_eos: true }, choices: { n: 2 },
  };
}

function streamOf(client, request) {
  return client.StreamGenerate(request, { deadline: Date.now() + LIMIT_MS });
}

async function streamed(client) {
  const answer = new Answer();
  await fold(streamOf(client, story()), answer);
  return answer;
}

async function unary(client, request) {
  const [choice] = (await call(client, 'Generate', request)).choices;
  const line = new ChoiceLine();
  line.text = choice.text;
  line.token_ids = choice.token_ids;
  line.finish_reason = choice.finish_reason;
  line.addScores(choice.logprobs);
  return line;
}

// Asks again with the settings that the first answer told.
function repeat(client, told) {
  const { add_special_tokens, sampling, stopping, choices, output, context, scheduling, speculation } = told;
  return unary(client, {
    text: 'Once upon a time', add_special_tokens, sampling, stopping, choices, output, context, scheduling, speculation,
  });
}

async function roundTrip(client, text) {
  const { token_ids } = await call(client, 'Tokenize', { text, add_special_tokens: false });
  return (await call(client, 'Detokenize', { token_ids })).text;
}

function refused(client) {
  const request = story();
  request.sampling.top_p = 2;
  return failureFrom(call(client, 'Generate', request));
}

async function late(client) {
  const failure = await failureFrom(call(client, 'Generate', endless(), 200));
  failure.message = ''; // The client's own timer may have been first.
  return failure;
}

async function cancelled(client, other) {
  const request = { ...endless(), request_id: 'node-cancelled' };
  const stream = streamOf(client, request);
  const answer = new Answer();
  const end = new Promise((resolve) => stream.on('error', resolve));
  let asked = null;
  stream.on('data', (response) => {
    answer.add(response);
    if (!asked && answer.choices[0].choiceTokens > 0n) {
      asked = call(other, 'Cancel', { request_id: request.request_id });
    }
  });
  const { code } = failureOf(await end);
  const { found } = await asked;
  return { found, code, finish_reason: answer.choices[0].finish_reason };
}

// Loses its stream in the middle and takes it up again on another connection.
async function broken(client, other) {
  const request = pair('node-broken');
  const answer = new Answer(2);
  const stream = streamOf(client, request);
  stream.on('error', () => {}); // CANCELLED, which is what is wanted.
  await fold(stream, answer, () => answer.choices.every((choice) => choice.choiceTokens >= 20n));
  stream.cancel();
  request.resume = { token_offsets: answer.choices.map((choice) => choice.choiceTokens.toString()) };
  await fold(streamOf(other, request), answer);
  return answer.choices;
}

async function main() {
  const client = connect();
  const other = connect();
  const { model } = await call(client, 'GetModel', {});
  const whole = await streamed(client);
  const { settings } = whole.started;
  console.log(JSON.stringify({
    language: 'node',
    model: model.name,
    vocabulary: model.vocabulary_size,
    round_trip: await roundTrip(client, 'A naïve café 🦊 said “hello”.'),
    streamed: whole.choices[0],
    generated: Number(whole.usage.generated_tokens),
    seed: settings.sampling.seed,
    max_new: settings.stopping.max_new_tokens,
    top_p_bits: bitsOf(settings.sampling.top_p),
    top_logprobs: settings.output.top_logprobs,
    unary: await unary(client, story()),
    repeated: await repeat(client, settings),
    refused: await refused(client),
    late: await late(client),
    cancelled: await cancelled(client, other),
    broken: await broken(client, other),
  }));
  client.close();
  other.close();
}

main().catch((error) => {
  console.error(`smoke: ${error.stack || error}`);
  process.exit(1);
});
