/** What Bellhop sends and reads: the output of payloads.py, which runs Bellhop's own code. */
'use strict';

const { execFileSync } = require('node:child_process');
const path = require('node:path');

const root = path.join(__dirname, '..', '..');
const python = path.join(root, '.venv', 'bin', 'python');
const script = path.join(__dirname, 'payloads.py');
const env = { ...process.env, PYTHONPATH: root };

module.exports = JSON.parse(execFileSync(python, [script], { cwd: root, env, maxBuffer: 1 << 26 }));
