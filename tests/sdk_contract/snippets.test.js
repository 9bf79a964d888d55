/** The React Native code of docs/client-contract.md compiles with each version of Stream's SDK. */
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const ts = require('typescript');
const { all } = require('./versions.js');

const PAGE = path.join(__dirname, '..', '..', 'docs', 'client-contract.md');
const FOLDER = path.join(__dirname, 'snippets'); // made here, and ignored by git: modules are looked up from it
const TYPES = path.join(__dirname, 'app_types.d.ts');

function snippets() {
  fs.mkdirSync(FOLDER, { recursive: true });
  const blocks = fs.readFileSync(PAGE, 'utf8').matchAll(/^```ts\n(.*?)^```/gms);
  return [...blocks].map(([, code], index) => {
    const file = path.join(FOLDER, `snippet_${index + 1}.ts`);
    fs.writeFileSync(file, code);
    return file;
  });
}

function errors(sdk, files) {
  const program = ts.createProgram([...files, TYPES], {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    paths: { '@stream-io/video-react-native-sdk': [sdk.root] },
  });
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const line = file ? `${path.basename(file.fileName)}:${file.getLineAndCharacterOfPosition(start).line + 1}: ` : '';
    return line + ts.flattenDiagnosticMessageText(messageText, '\n');
  });
}

for (const sdk of all) {
  test(`${sdk.version}: the page's React Native code compiles`, () => {
    const files = snippets();
    assert.ok(files.length >= 2);
    assert.deepEqual(errors(sdk, files), []);
  });

  test(`${sdk.version}: a name that the SDK does not export is an error`, () => {
    const wrong = path.join(FOLDER, 'wrong.ts');
    fs.mkdirSync(FOLDER, { recursive: true });
    fs.writeFileSync(wrong, "import { noSuchName } from '@stream-io/video-react-native-sdk';\nnoSuchName();\n");
    assert.match(errors(sdk, [wrong]).join('\n'), /noSuchName/);
  });
}
