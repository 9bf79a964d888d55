/** The Swift, Kotlin and Dart code of clients/snippets can be parsed. Nothing here compiles it. */
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { before, test } = require('node:test');
const v8 = require('node:v8');
const { Language, Parser } = require('web-tree-sitter');

// The grammars are large, and used once: do not optimise them.
v8.setFlagsFromString('--liftoff-only');
v8.setFlagsFromString('--wasm-lazy-compilation');

const SNIPPETS = path.join(__dirname, '..', '..', 'clients', 'snippets');
const GRAMMARS = path.join(path.dirname(require.resolve('tree-sitter-wasms/package.json')), 'out');
const LANGUAGES = { '.swift': 'swift', '.kt': 'kotlin', '.dart': 'dart' };
const FILES = fs.readdirSync(SNIPPETS, { recursive: true }).filter((file) => path.extname(file) in LANGUAGES);
const parsers = {};

before(async () => {
  await Parser.init();
  for (const [extension, name] of Object.entries(LANGUAGES)) {
    const language = await Language.load(path.join(GRAMMARS, `tree-sitter-${name}.wasm`));
    parsers[extension] = new Parser().setLanguage(language);
  }
});

/** The lines that the parser does not understand. */
function wrongLines(extension, code) {
  const wrong = (node) => {
    if (node.isError || node.isMissing) return [node.startPosition.row + 1];
    return node.hasError ? node.children.flatMap(wrong) : [];
  };
  return wrong(parsers[extension].parse(code).rootNode);
}

for (const file of FILES) {
  test(`${file} can be parsed`, () => {
    const code = fs.readFileSync(path.join(SNIPPETS, file), 'utf8');
    const extension = path.extname(file);
    assert.deepEqual(wrongLines(extension, code), []);
    assert.notDeepEqual(wrongLines(extension, code.slice(0, code.lastIndexOf('}'))), [], 'without the last brace');
  });
}
