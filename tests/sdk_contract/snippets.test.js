/** The React Native code of clients/snippets compiles with each version of Stream's SDK. */
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const ts = require('typescript');
const { all } = require('./versions.js');

const SNIPPETS = path.join(__dirname, '..', '..', 'clients', 'snippets', 'react-native');
const TYPES = path.join(__dirname, 'app_types.d.ts');
const FILES = fs.readdirSync(SNIPPETS).map((name) => path.join(SNIPPETS, name));

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
    // The code is not in this folder, but its packages are. The first path that exists is taken.
    paths: {
      '@stream-io/video-react-native-sdk': [sdk.root],
      '*': [path.join(__dirname, 'node_modules', '*')],
    },
  });
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const line = file ? `${path.basename(file.fileName)}:${file.getLineAndCharacterOfPosition(start).line + 1}: ` : '';
    return line + ts.flattenDiagnosticMessageText(messageText, '\n');
  });
}

for (const sdk of all) {
  test(`${sdk.version}: the React Native code compiles`, () => {
    assert.ok(FILES.length >= 3);
    assert.deepEqual(errors(sdk, FILES), []);
  });

  test(`${sdk.version}: a name that the SDK does not export is an error`, () => {
    const wrong = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'wrong-')), 'wrong.ts');
    fs.writeFileSync(wrong, "import { noSuchName } from '@stream-io/video-react-native-sdk';\nnoSuchName();\n");
    assert.match(errors(sdk, [wrong]).join('\n'), /noSuchName/);
  });
}
