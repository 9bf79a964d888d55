/** clients/web: its types fit its code, and the React component compiles with them. */
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const ts = require('typescript');

const FOLDER = path.join(__dirname, '..', '..', 'clients', 'web');

test('the React component compiles with the types', () => {
  const program = ts.createProgram([path.join(FOLDER, 'RingMe.tsx')], {
    strict: true,
    noEmit: true,
    types: [],
    jsx: ts.JsxEmit.ReactJSX,
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    paths: { '*': [path.join(__dirname, 'node_modules', '@types', '*'), path.join(__dirname, 'node_modules', '*')] },
  });
  const problems = ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
  assert.deepEqual(problems, []);
});

test('the types name every function of the module and no other', async () => {
  const types = fs.readFileSync(path.join(FOLDER, 'bellhop.d.ts'), 'utf8');
  const source = ts.createSourceFile('bellhop.d.ts', types, ts.ScriptTarget.ES2022);
  const typed = source.statements.filter(ts.isFunctionDeclaration).map(({ name }) => name.text);
  const code = `data:text/javascript,${encodeURIComponent(fs.readFileSync(path.join(FOLDER, 'bellhop.js'), 'utf8'))}`;
  assert.deepEqual(Object.keys(await import(code)).sort(), typed.sort());
});
